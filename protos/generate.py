"""Generate the Python code of protos/ beside its sources, or check that it is current.

    python protos/generate.py           write the code
    python protos/generate.py --check   write nothing; exit 1 and name the files that differ

The stubs come from mypy-protobuf: unlike protoc's own they pass `mypy --strict`, know the members
of a oneof, and type the asyncio side of each service.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent


def main() -> None:
    """Write the code, or compare it."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        wanted, present = contents(Path(folder)), contents(PROTOS)
    differing = sorted(path for path in wanted.keys() | present.keys() if wanted.get(path) != present.get(path))
    if "--check" in sys.argv[1:]:
        if differing:
            sys.exit(f"run `make protos` and commit: {', '.join(differing)}")
        return
    for path in differing:
        if path in wanted:
            (PROTOS / path).write_bytes(wanted[path])
        else:  # its source is gone
            (PROTOS / path).unlink()


def generate(into: Path) -> None:
    """Generate the code of every file of the API into a folder."""
    sources = sorted(PROTOS.glob("loyalty/**/*.proto"))
    # Only a file with a service gets a module for it; protoc would write empty ones for the rest.
    service = re.compile(r"^service ", re.MULTILINE)
    services = [path for path in sources if service.search(path.read_text("utf-8"))]
    protoc(sources, f"--python_out={into}", f"--mypy_out=quiet:{into}")
    protoc(services, f"--grpc_python_out={into}", f"--mypy_grpc_out=quiet:{into}")


def protoc(sources: list[Path], *outputs: str) -> None:
    """Run protoc; its plugins are found on the PATH and installed beside this Python."""
    if not sources:
        return
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", *outputs]
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run([*command, *sources], check=False, env=os.environ | {"PATH": path})
    if done.returncode:
        sys.exit("protoc refused the sources: see above")


def contents(folder: Path) -> dict[str, bytes]:
    """The generated files under a folder, by relative path."""
    found = [*folder.glob("loyalty/**/*_pb2*.py"), *folder.glob("loyalty/**/*_pb2*.pyi")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(found)}


if __name__ == "__main__":
    main()
