"""Whatever bytes arrive: the answer blames the client, what is stored is valid, and the receiver lives."""

from __future__ import annotations

import gzip
import json
import random

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

ROUNDS = 300


def valid(chance: random.Random) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    for _ in range(chance.randint(1, 3)):
        records = request.resource_logs.add().scope_logs.add().log_records
        for i in range(chance.randint(0, 5)):
            record = records.add(event_name=f"event {i}", time_unix_nano=chance.getrandbits(63), trace_id=bytes(16))
            record.attributes.add(key="data").value.bytes_value = chance.randbytes(chance.randint(0, 300))
            record.attributes.add(key="text").value.string_value = "ünï" * chance.randint(0, 5)
            record.body.kvlist_value.values.add(key="k").value.array_value.values.add().int_value = -i
    return request


def as_json(chance: random.Random) -> bytes:
    record = {"eventName": "e", "traceId": "ab" * 16, "attributes": [{"key": "k", "value": {"intValue": "7"}}]}
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record] * chance.randint(0, 4)}]}]}).encode()


def mutated(body: bytes, chance: random.Random) -> bytes:
    """One to four bytes changed, removed, repeated or inserted."""
    data = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        change = chance.randrange(4)
        if change == 0:
            data[at : at + 1] = chance.randbytes(1)
        elif change == 1:
            del data[at : at + chance.randint(1, 30)]
        elif change == 2:
            data[at:at] = data[at : at + chance.randint(1, 30)]
        else:
            data[at:at] = chance.randbytes(chance.randint(1, 5))
    return bytes(data)


def bodies(kind: str, chance: random.Random):
    for _ in range(ROUNDS):
        if chance.random() < 0.3:
            yield chance.randbytes(chance.randint(0, 200))
        else:
            yield mutated(as_json(chance) if kind == "json" else valid(chance).SerializeToString(), chance)


def assert_alive_and_only_valid_requests_stored(service, accepted: int) -> None:
    records = service.stored()
    for record in records:
        ExportLogsServiceRequest.FromString(record.payload)
    assert len(records) <= accepted
    assert service.post("logs", valid(random.Random(0)).SerializeToString()).status_code == 200
    assert len(service.stored()) == 1


@pytest.mark.parametrize("kind", ["protobuf", "json", "gzip"])
def test_arbitrary_bodies_over_http(service, kind: str):
    chance = random.Random(kind)
    statuses = []
    for body in bodies(kind, chance):
        content = mutated(gzip.compress(body), chance) if kind == "gzip" and chance.random() < 0.5 else body
        headers = {"content_encoding": "gzip"} if kind == "gzip" else {}
        media_type = "application/json" if kind == "json" else "application/x-protobuf"
        statuses.append(service.post("logs", content, media_type, **headers).status_code)
    assert set(statuses) <= {200, 400}
    assert 400 in statuses
    assert_alive_and_only_valid_requests_stored(service, statuses.count(200))


def test_arbitrary_bodies_over_grpc(service):
    codes = []
    for body in bodies("protobuf", random.Random("grpc")):
        try:
            service.export("logs", body)
            codes.append(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            codes.append(error.code())
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
    assert_alive_and_only_valid_requests_stored(service, codes.count(grpc.StatusCode.OK))


def test_arbitrary_heads_over_http(service):
    chance = random.Random("heads")
    accepted = 0
    for _ in range(ROUNDS):
        headers = {
            "content-type": chance.choice(["application/json", "application/x-protobuf", "a/b;;=", "\xff", ""]),
            "content-encoding": chance.choice(["gzip", "identity", "", "\xe9", "gzip;q=1"]),
        }
        method = chance.choice(["POST", "GET", "BREW", "OPTIONS"])
        path = chance.choice(["/v1/logs", "/v1/logs?a=b", "/%00", "//", "/v1/%6cogs", "/readyz", "*"])
        raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        try:
            response = service.http.request(method, path, headers=raw, content=b"{}")
        except httpx.RemoteProtocolError:
            continue
        assert response.status_code < 500
        accepted += response.status_code == 200
    assert_alive_and_only_valid_requests_stored(service, accepted)
