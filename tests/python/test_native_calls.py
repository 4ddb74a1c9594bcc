"""C functions are called themselves, where the object is known to fit, and only there."""

from pathlib import Path

from unit_versions import irs, run

PROGRAM = """
import io

class Own(io.BytesIO):
    pass

def files(file, data):
    file.write(data)
    return file.tell()

def numbers(values):
    values.append(id(values))
    return divmod(7, 2)

def quiet(text, n):
    return text.find("b", n), id(text), ord("x")

def loud(text, n):
    return text.find(n)

def named(text):
    return text.split(sep=",")

def hidden(file, data):
    return file.write(data)

def filled(data):
    return 1 if data else 2

def there(file):
    return 1 if file else 2

def length(data):
    return len(data)

KINDS = (bytes, bytearray)

def kinds(data):
    return isinstance(data, KINDS)

coluber.enable()
own = Own()
own.write = len
compile_to(files, 1, [io.BytesIO() for _ in range(9)], [b"x"] * 9)
compile_to(numbers, 1, [[] for _ in range(9)])
compile_to(named, 1, ["a,b"])
assert compile_to(quiet, 1, ["ab"], [int("1")])[0][0] == 1
assert compile_to(loud, 1, ["ab"], ["b"]) == [1]
# The first versions of these note what they meet.
assert compile_to(hidden, 3, [own], [b"abcd"]) == [4]
assert compile_to(filled, 2, [b"x", b""]) == [1, 2]
assert compile_to(there, 2, [own, own, own, None, own]) == [1, 1, 1, 2, 1]
assert compile_to(length, 2, [b"x", b"abc"]) == [1, 3]
assert compile_to(kinds, 2, [b"x"]) == [True]
"""


def final_ir(directory: Path, name: str) -> str:
    """The IR of the last version of a function's unit."""
    return irs(directory, name)[-1]


def test_what_is_called_how(tmp_path: Path) -> None:
    run(PROGRAM, tmp_path)
    files = final_ir(tmp_path, "files")
    assert files.count("CallNative") == 2 and files.count("GuardNoOwnDict") == 2
    assert "LoadMethod" not in files and " Call " not in files
    assert final_ir(tmp_path, "numbers").count("CallNative") == 2
    quiet = final_ir(tmp_path, "quiet")
    # The int is no int for sure.
    assert [line.split(", ")[-2] for line in quiet.splitlines() if "CallNative" in line] == ["false", "true", "true"]
    assert quiet.count("CheckObserved") == 1
    assert ", false, fs" in final_ir(tmp_path, "loud")
    # Names are for the wrapper.
    assert "CallNative" not in final_ir(tmp_path, "named")
    # The attribute may be the instance's.
    assert "CallNative" not in final_ir(tmp_path, "hidden")
    filled = final_ir(tmp_path, "filled")
    assert "BuiltinIsTrue" in filled and "Invoke IsTrue" not in filled
    there = final_ir(tmp_path, "there")
    assert "GuardNoneOrClass" in there and "Invoke IsTrue" not in there
    assert "BuiltinLength" in final_ir(tmp_path, "length")
    kinds = final_ir(tmp_path, "kinds")
    assert " Call " not in kinds and "GuardKind" in kinds
