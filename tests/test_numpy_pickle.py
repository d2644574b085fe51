"""Pickles inside .npy files: numpy's arrays are read, and nothing that a file names is imported, called or trusted."""

import copyreg
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyreel.datasets.numpy_pickle import read_array, read_record
from skyreel.errors import DatasetError

RECORD = {
    "stamp": np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 3,
    "centroidsXY": np.array([[9.5, 10.25], [10.0, 9.75]]),
    "time": np.array([(b"02", 57070.1), (b"03", 57070.2)], [("EPOCH", "S2"), ("MJD", "<f4")]),
    "exact": np.array([(1, 57070.1)], [("EPOCH", "<i4"), ("MJD", "<f8")]),
}


def npy(content: bytes) -> bytes:
    """An .npy file of one object whose pickle is `content`."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
    return stream.getvalue() + content


def boxed(record: object, protocol: int = 2) -> bytes:
    box = np.empty((), object)
    box[()] = record
    return pickle.dumps(box, protocol)


def read(tmp_path: Path, content: bytes) -> dict[str, np.ndarray]:
    file = tmp_path / "some_stamp.npy"
    file.write_bytes(npy(content))
    return read_record(file)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("package", [b"numpy._core", b"numpy.core"])
def test_arrays_are_read_as_numpy_reads_them(tmp_path, protocol, package):
    content = boxed(RECORD, protocol)
    if protocol < 4:  # names are lines of text there, which may change their length
        content = content.replace(b"numpy._core.multiarray", package + b".multiarray")
    found = read(tmp_path, content)
    assert list(found) == list(RECORD)
    for name, array in RECORD.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">i2"),
        np.array(["x", "yy"]),
        np.array([b"57070.1", b"57071"], "S32"),
        np.zeros((0, 3)),
        np.float32(2.5),
        np.array([True, False]),
    ],
)
def test_layouts(tmp_path, array):
    found = read(tmp_path, boxed({"x": array}, 4))["x"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def calls(target: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that make a folder when `pickle.loads` reads them, and the name that the refusal must tell."""
    path = str(target).encode()
    text = b"X" + len(path).to_bytes(4, "little") + path
    short = b"\x8c" + bytes([len(path)]) + path
    call = b"cos\nmkdir\n" + text + b"\x85R"
    array = b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    return {
        "GLOBAL and REDUCE": (b"\x80\x03" + call + b".", "os.mkdir"),
        "STACK_GLOBAL": (b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + short + b"\x85R.", "os.mkdir"),
        "INST": (b"(" + text + b"ios\nmkdir\n.", "os.mkdir"),
        "OBJ": (b"(cos\nmkdir\n" + text + b"o.", "os.mkdir"),
        "inside a value": (
            b"\x80\x03" + array + b"(K\x01)cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R\x89]}X\x01\x00\x00\x00s" + call + b"satb.",
            "os.mkdir",
        ),
        "as the state of an array": (b"\x80\x03" + array + call + b"\x85b.", "os.mkdir"),
        "as the name of a dtype": (b"\x80\x03cnumpy\ndtype\n" + call + b"\x85R.", "os.mkdir"),
        "through getattr": (
            b"\x80\x03cbuiltins\ngetattr\ncos\nmkdir\nX\x08\x00\x00\x00__call__\x86R" + text + b"\x85R.",
            "builtins.getattr",
        ),
        "by an attribute of numpy": (b"\x80\x04\x8c\x05numpy\x8c\x0ctesting.sys.\x93.", "numpy.testing.sys."),
        "NEWOBJ": (b"\x80\x03cpathlib\nPath\n" + text + b"\x85\x81cpathlib\nPath.mkdir\nh\x00\x85R.", "pathlib.Path"),
    }


@pytest.mark.parametrize("kind", list(calls(Path("x"))))
def test_foreign_names_are_named_and_never_called(tmp_path, kind):
    content, name = calls(tmp_path / "made")[kind]
    with pytest.raises(DatasetError) as caught:
        read(tmp_path, content)
    assert "some_stamp.npy" in str(caught.value)
    assert f"its pickle names {name}, which is not numpy's reconstruction; nothing was run" in caught.value.found
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", list(calls(Path("x")))[:8])
def test_the_same_pickles_do_act_when_nothing_guards(tmp_path, kind):
    """So that the test above means something."""
    try:  # noqa: SIM105  what comes after the call is of no interest
        pickle.loads(calls(tmp_path / "made")[kind][0])
    except (TypeError, ValueError, AttributeError, IndexError, SystemError, pickle.UnpicklingError):
        pass
    assert (tmp_path / "made").is_dir()


def test_registered_extensions_and_persistent_names_are_refused(tmp_path):
    copyreg.add_extension("os", "mkdir", 240)
    try:
        pickle.loads(b"\x80\x02\x82\xf0.")  # the standard library keeps what it has once found
        with pytest.raises(DatasetError, match="opcode EXT1"):
            read(tmp_path, b"\x80\x02\x82\xf0X\x01\x00\x00\x00a\x85R.")
    finally:
        copyreg.remove_extension("os", "mkdir", 240)
        copyreg.clear_extension_cache()
    with pytest.raises(DatasetError, match="opcode PERSID"):
        read(tmp_path, b"Pname\n.")


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_other_functions_of_numpy_are_refused(tmp_path, core):
    with pytest.raises(DatasetError, match=f"names {core}.multiarray.fromfile"):
        read(tmp_path, b"c" + core.encode() + b".multiarray\nfromfile\nX\x0b\x00\x00\x00/etc/passwd\x85R.")


RECONSTRUCT = b"cnumpy._core.multiarray\n_reconstruct\n"
ARRAY = RECONSTRUCT + b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R"
OBJECTS = b"cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R"
FLOATS = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R"
NO_FLAGS = b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def with_value(value: bytes) -> bytes:
    """A whole record {"x": value}."""
    box = ARRAY + b"(K\x01)" + OBJECTS + b"\x89](}X\x01\x00\x00\x00x" + value + b"setb."
    return b"\x80\x03" + box


def state(shape: bytes, dtype: bytes, content: bytes) -> bytes:
    return ARRAY + b"(K\x01" + shape + dtype + b"\x89" + content + b"tb"


FORGED = {
    # numpy would take these eight bytes for the address of an object
    "bytes as objects": (state(b"K\x01\x85", OBJECTS + NO_FLAGS, b"C\x08AAAAAAAA"), "bytes where list was expected"),
    "objects inside": (state(b"K\x01\x85", OBJECTS, b"]K\x01a"), "list where ndarray was expected"),
    "too few bytes": (state(b"K\x64\x85", FLOATS, b"C\x08AAAAAAAA"), r"8 bytes for an array \(100,\) of float64"),
    "too many bytes": (state(b"K\x00\x85", FLOATS, b"C\x08AAAAAAAA"), "8 bytes for an array"),
    "negative shape": (state(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86", FLOATS, b"C\x08AAAAAAAA"), "ValueError"),
    "shape of text": (state(b"X\x01\x00\x00\x001\x85", FLOATS, b"C\x08AAAAAAAA"), "not a readable record"),
    "dtype of a function": (state(b"K\x01\x85", RECONSTRUCT, b"C\x08AAAAAAAA"), "global where dtype was expected"),
    "array of another type": (RECONSTRUCT + b"cnumpy\ndtype\nK\x00\x85C\x01b\x87R", "a call of _reconstruct"),
    "state for a function": (RECONSTRUCT + b"}X\x08\x00\x00\x00__code__K\x01sb", "a state for the function _reconstruct"),
    "dates": (state(b"K\x01\x85", FLOATS.replace(b"f8", b"M8"), b"C\x08AAAAAAAA"), "dtype datetime64"),
    "record of objects by name": (
        state(b"K\x01\x85", FLOATS.replace(b"\x02\x00\x00\x00f8", b"\x05\x00\x00\x00i4,O8"), b"C\x0cAAAAAAAAAAAA"),
        "dtype",
    ),
    "no array": (b"K\x01", "int where array was expected"),
    "huge memo": (b"r\xff\xff\xff\x7fK\x01", "entry 2147483647 of the memo"),
}


@pytest.mark.parametrize("kind", list(FORGED))
def test_forged_arrays_are_refused(tmp_path, kind):
    value, message = FORGED[kind]
    with pytest.raises(DatasetError, match=message) as caught:
        read(tmp_path, with_value(value) if kind != "huge memo" else b"\x80\x03" + value + b".")
    assert "some_stamp.npy" in caught.value.asked


@pytest.mark.parametrize(("offset", "itemsize"), [(6, 8), (100, 8), (-4, 8), (0, 2)])
def test_records_that_reach_outside_their_bytes_are_refused(tmp_path, offset, itemsize):
    names = b"X\x01\x00\x00\x00a\x85"
    fields = b"}X\x01\x00\x00\x00a" + FLOATS.replace(b"f8", b"f4") + b"J" + offset.to_bytes(4, "little", signed=True) + b"\x86s"
    kind = FLOATS.replace(b"f8", b"V8") + b"(K\x03X\x01\x00\x00\x00|N" + names + fields + bytes([0x4B, itemsize]) + b"K\x01K\x10tb"
    with pytest.raises(DatasetError, match="not a readable record of arrays"):
        read(tmp_path, with_value(state(b"K\x01\x85", kind, b"C" + bytes([itemsize]) + b"A" * itemsize)))


def test_harmless_value_of_the_same_form_is_read(tmp_path):
    """The forged ones above are refused for what they change."""
    found = read(tmp_path, with_value(state(b"K\x01\x85", FLOATS, b"C\x08\x00\x00\x00\x00\x00\x00\xf0\x3f")))
    np.testing.assert_array_equal(found["x"], [1.0])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.99])
def test_truncated_file_is_named(tmp_path, share):
    content = npy(boxed(RECORD))
    file = tmp_path / "short.npy"
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DatasetError, match=r"short\.npy: not a readable record of arrays"):
        read_record(file)


def test_absent_file_and_other_contents(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.npy: not a readable record.*FileNotFoundError"):
        read_record(tmp_path / "none.npy")
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(DatasetError, match=r"plain\.npy.*not one object"):
        read_record(tmp_path / "plain.npy")
    with pytest.raises(DatasetError, match=r"int where dict was expected"):
        read(tmp_path, boxed(3))


def test_plain_arrays_are_read_and_pickled_ones_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([b"57070.1"], "S32"))
    assert read_array(tmp_path / "a.npy").tolist() == [b"57070.1"]
    np.save(tmp_path / "b.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"b\.npy: not a readable array.*allow_pickle"):
        read_array(tmp_path / "b.npy")
    (tmp_path / "c.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-5])
    with pytest.raises(DatasetError, match=r"c\.npy: not a readable array"):
        read_array(tmp_path / "c.npy")


@settings(max_examples=150)
@given(st.data())
def test_damaged_bytes_give_arrays_or_the_typed_error(tmp_path_factory, data):
    content = bytearray(npy(boxed(RECORD, data.draw(st.sampled_from([0, 2, 4])))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "damaged.npy"
    file.write_bytes(bytes(content))
    error = ""
    try:
        found = read_record(file)
    except DatasetError as err:
        error = str(err)
    assert "damaged.npy" in error or all(type(array) is np.ndarray and not array.dtype.hasobject for array in found.values())


@pytest.mark.real_data
def test_real_files_are_read_as_numpy_reads_them(data_dir):
    found = sorted((data_dir / "hits2015a_raw" / "real_obs" / "real_stamps").glob("[ERr]*/*_stamp.npy"))
    assert len(found) == 25
    for file in found:
        reference = np.load(file, allow_pickle=True, encoding="latin1").item()
        ours = read_record(file)
        assert ours.keys() == reference.keys() == {"stamp", "centroidsXY", "time"}
        for name, array in reference.items():
            assert (ours[name].dtype, ours[name].shape, ours[name].tobytes()) == (array.dtype, array.shape, array.tobytes())
