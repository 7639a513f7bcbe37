"""What the documentation asks of grpcurl: a call with a message in JSON, its types asked of the server.

Run as `python -m tests.e2e.grpcurl -plaintext -d MESSAGE ADDRESS SERVICE/METHOD`.
"""

import argparse

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToJson, Parse
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="grpcurl")
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-d", dest="message", required=True)
    parser.add_argument("address")
    parser.add_argument("method")
    given = parser.parse_args()
    service, _, method = given.method.partition("/")
    with grpc.insecure_channel(given.address) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        called = pool.FindServiceByName(service).FindMethodByName(method)
        request, response = GetMessageClass(called.input_type), GetMessageClass(called.output_type)
        call = channel.unary_unary(
            f"/{given.method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        print(MessageToJson(call(Parse(given.message, request()))))


if __name__ == "__main__":
    main()
