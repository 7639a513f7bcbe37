"""Protoc plugin that writes *_pb2_grpc.py, so that `buf generate` can call grpcio-tools.

grpcio-tools keeps its gRPC generator inside its own protoc and ships no plugin binary of its own;
this script passes buf's request on to that protoc.
"""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def run_protoc(descriptors: Path, out: Path, files: Iterable[str]) -> int:
    """Generate into `out` and return protoc's exit status."""
    command = ["protoc", f"--descriptor_set_in={descriptors}", f"--grpc_python_out={out}", *files]
    return int(protoc.main(command))


def respond(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """Answer one code generator request with the files protoc made of it."""
    response = CodeGeneratorResponse(
        supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    with tempfile.TemporaryDirectory() as folder:
        descriptors, out = Path(folder, "descriptors.binpb"), Path(folder, "out")
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        out.mkdir()
        status = run_protoc(descriptors, out, request.file_to_generate)
        if status != 0:
            response.error = f"grpc_tools.protoc exited with status {status}"
            return response
        for path in sorted(out.rglob("*.py")):
            name = path.relative_to(out).as_posix()
            response.file.add(name=name, content=path.read_text(encoding="utf-8"))
    return response


if __name__ == "__main__":
    asked = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(respond(asked).SerializeToString())
