"""A made-up folder in the layout of the public repository of the HiTS stamps."""

from pathlib import Path

import numpy as np

CONDITION = np.dtype(
    [
        *[("FILTER", "S1"), ("EPOCH", "S2"), ("MJD", "f8"), ("EXP_TIME", "f8"), ("SEEING", "f8"), ("AIRMASS", "f8")],
        *[("BACK_LEVEL", "f8"), ("COMPLET_ADU", "f8"), ("COMPLET_MAG", "f8"), ("STD_EMPTY_AP", "f8")],
        *[("LIMIT_MAG_EA3", "f8"), ("LIMIT_MAG_EA5", "f8"), ("ZP_PS", "f8")],
    ]
)
OTHER_CONDITION = np.dtype([(name, CONDITION[name]) for name in (*CONDITION.names[:10], "LIMIT_MAG_EA5")] + [("LIMIT_MAG_EA10", "f8")])
"""As three files of field 25: no zero point, other limits."""
DATES = 57070 + np.array([0.101, 0.202, 1.111, 1.212, 2.404, 3.101, 5.007, 7.503])
"""Of the g exposures, in time order."""
LABELS = (3, 2, 7, 4, 5, 6, 9, 8)
"""Their epoch labels, which do not follow time."""
SKY = 100.0 + 10 * np.arange(8)
SIZE = 7


class Repository:
    """Writes the files; `fields` have conditions."""

    def __init__(self, folder: Path, fields: tuple[int, ...] = (5,)) -> None:
        self.folder = folder
        self.root = folder / "real_obs"
        self.stamps = self.root / "real_stamps"
        self.listed = ["SNname field  CCD i    j", "SNHiTS14B   10  N6  2809 986"]
        self.constants: list[str] = []
        for place in ("RRLyrae/lightcurves", "EB/lightcurves", "real_constants/lightcurves", "SNstamps/LC", "SNstamps/npy"):
            (self.stamps / place).mkdir(parents=True)
        (self.root / "Blind15A_info").mkdir()
        for field in fields:
            for label, mjd, sky in zip(LABELS, DATES, SKY, strict=True):
                self.condition(field, label, mjd, sky)
            self.condition(field, 1, DATES[2] + 100 / 86400, 999.0, band="r")

    def condition(self, field: int, epoch: int, mjd: float, sky: float, band: str = "g", dtype: np.dtype = CONDITION) -> Path:
        """One exposure: 86 s, seeing 1.2 arcsec, zero point 25 where the columns have one."""
        record = np.zeros((), dtype)
        values = {"FILTER": band, "EPOCH": f"{epoch:02d}", "MJD": mjd, "EXP_TIME": 86, "SEEING": 1.2, "AIRMASS": 1.3, "BACK_LEVEL": sky}
        for name, value in (values | {"LIMIT_MAG_EA5": 24.1, "ZP_PS": 25.0}).items():
            if name in dtype.names:
                record[name] = value
        file = self.root / "Blind15A_info" / f"Blind15A_{field:02d}_{epoch:02d}_{band}.npy"
        np.save(file, record)
        return file

    def pixels(self, frames: int = 8) -> np.ndarray:
        """Sky of each exposure and a star of 1000 ADU."""
        stamps = np.repeat(SKY[:frames].astype(np.float32), SIZE * SIZE).reshape(-1, SIZE, SIZE)
        stamps[:, SIZE // 2, SIZE // 2] += 1000
        return stamps

    def star(self, kind: str, name: str = "05_N4_12_345", mjd=DATES, stamps=None, labels=LABELS, curve=None, precision="f4") -> Path:
        """A star of folder `kind`; `curve` are magnitudes at exact dates, or rows of (MJD, magnitude)."""
        stamps = self.pixels(len(mjd)) if stamps is None else stamps
        time = np.zeros(len(mjd), [("EPOCH", "S2"), ("MJD", precision)])
        time["EPOCH"], time["MJD"] = [f"{label:02d}" for label in labels[: len(mjd)]], mjd
        file = self.stamps / kind / f"Blind15A_{name}_g_stamp.npy"
        np.save(file, {"stamp": stamps, "centroidsXY": np.full((len(mjd), 2), 3.0), "time": time}, allow_pickle=True)
        if curve is not None:
            field, chip, x, y = name.split("_")
            rows = curve if np.ndim(curve) == 2 else np.stack([mjd, curve], axis=1)
            text = [
                "# EPOCH\tMJD\tMAG_KRON\tMAGERR_KRON",
                *[f"{k}\t{date!r}\t{mag!r}\t0.01" for k, (date, mag) in enumerate(rows.tolist())],
            ]
            file = self.stamps / kind / "lightcurves" / f"Blind15A_{field}_{chip}_{int(x):04d}_{int(y):04d}_g.dat"
            file.write_text("\n".join(text) + "\n")
        return file

    def supernova(self, name: str, field: int = 5, chip: str = "N4", i: int = 500, j: int = 600, flux=None, dates=DATES, band=None) -> None:
        """A supernova seen in every g exposure; `flux` is its light curve of errors of 80 ADU at `dates` (None: no file)."""
        np.save(self.stamps / "SNstamps" / "npy" / f"{name}_stamps.npy", self.pixels())
        np.save(self.stamps / "SNstamps" / "npy" / f"{name}_MJDs.npy", np.array([repr(float(date)) for date in DATES], "S32"))
        self.listed.append(f"{name}   {field:02d}  {chip}  {i} {j}")
        if flux is not None:
            bands = ["g"] * len(flux) if band is None else band
            rows = [
                f"{float(mjd)!r} 57070.1 1.2 1.2 86.0 {value} 80.0 22 0.1 0.1 {name}"
                for mjd, value, name in zip(dates, flux, bands, strict=True)
            ]
            head = ["# HiTS difference light curve", f"# Name: {name}, field: Blind15A_{field:02d}, CCD: {chip}"]
            columns = "MJD MJDref airmasssci airmassref exptimeref ADU e_ADU mag e1_mag e2_mag band"
            (self.stamps / "SNstamps" / "LC" / f"{name}.dat").write_text("\n".join([*head, columns, *rows]) + "\n")

    def done(self) -> Path:
        """Writes the lists, and one object into each class that has none; gives the folder."""
        if not list((self.stamps / "SNstamps" / "npy").iterdir()):
            self.supernova("SNHiTS15Z", flux=[0, 0, 0, 500, 600, 700, 300, 100])
        for k, kind in enumerate(("RRLyrae", "EB", "real_constants")):
            if not list((self.stamps / kind).glob("*.npy")):
                self.star(kind, f"05_S29_1_{k}", curve=None if kind == "real_constants" else np.full(8, 16.0))
        (self.stamps / "SNstamps" / "SNHiTS.txt").write_text("\n".join(self.listed) + "\n")
        (self.stamps / "real_constants" / "lightcurves" / "NV_15A_list.txt").write_text("\n".join(self.constants) + "\n")
        return self.folder
