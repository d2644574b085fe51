"""Movies from and to other formats: FITS cutouts, numpy, HDF5 and Parquet."""
