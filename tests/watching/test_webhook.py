"""Deliveries to a server of this machine: once confirmed never again, retried otherwise, and never in the way."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.watching.small_watch import CLASSES, ONCE, MadeUp, watcher_of, write_recording
from utils.console import UserError
from utils.watching import webhook as webhook_module
from utils.watching.call import WatchFlags
from utils.watching.state import Delivery, WatchState
from utils.watching.webhook import Webhook, check_webhook, webhook_address


class Receiver:
    """Takes deliveries; the statuses of the first requests are given, all others are 204."""

    def __init__(self, *statuses: int) -> None:
        self.statuses, self.bodies, self.headers = list(statuses), list[dict[str, Any]](), list[dict[str, str]]()
        self.elsewhere = 0


@contextmanager
def receiving(receiver: Receiver) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            receiver.headers.append(dict(self.headers))
            status = receiver.statuses.pop(0) if receiver.statuses else 204
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            receiver.elsewhere += 1

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/secret"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def station(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.wav", "b.wav", "bad.wav")):
        write_recording(tmp_path / "station" / name, seed=seed)
    return tmp_path / "station"


def watch(station: Path, out: Path, address: str) -> int:
    """Run once with a webhook, and return how many deliveries are left."""
    made, state, webhook = watcher_of(station, out, MadeUp(), ONCE, address=address)
    assert webhook
    webhook.start()
    made.run()
    webhook.end(seconds=10.0)
    left = state.count_deliveries()
    state.close()
    return left


def until(test: Any) -> None:
    end = time.monotonic() + 10
    while not test():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_each_recording_with_detections_is_delivered_once(station: Path, tmp_path: Path) -> None:
    receiver = Receiver()
    with receiving(receiver) as address:
        assert watch(station, tmp_path / "out", address) == 0
        assert watch(station, tmp_path / "out", address) == 0
    assert [body["recording"] for body in receiver.bodies] == ["a.wav", "b.wav"]
    body = receiver.bodies[0]
    assert body["detections"][1] == {"species": CLASSES[1], "start": 0.0, "end": 1.0, "score": 0.5}
    assert body["time"].endswith("Z")
    assert receiver.headers[0]["Idempotency-Key"] == body["id"]
    assert receiver.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [500, 404, 302, 307])
def test_what_is_not_confirmed_is_tried_again_with_its_id(
    tmp_path: Path, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver = Receiver(status, status)
    state = WatchState(tmp_path)
    add(state, "a")
    with receiving(receiver) as address:
        webhook = Webhook(address, state, first_wait=0.01)
        webhook.start()
        until(lambda: not state.count_deliveries())
        webhook.end()
    assert [body["id"] for body in receiver.bodies] == ["a"] * 3
    assert receiver.elsewhere == 0
    printed = "".join(capsys.readouterr())
    assert printed.count(f"status {status}") == 1
    assert "secret" not in printed
    state.close()


def add(state: WatchState, name: str) -> None:
    with state._transaction() as execute:
        execute("INSERT INTO deliveries (tries, body) VALUES (0, ?)", (json.dumps({"id": name}),))


def test_a_delivery_that_is_refused_does_not_hold_up_the_others(tmp_path: Path) -> None:
    state = WatchState(tmp_path)
    for name in ("poison", "b", "c"):
        add(state, name)
    posted = list[str]()

    class Refused(Webhook):
        def _post(self, body: str) -> str:
            posted.append(json.loads(body)["id"])
            return "status 400" if "poison" in body else ""

    webhook = Refused("http://127.0.0.1", state, first_wait=0.01)
    webhook.start()
    until(lambda: posted.count("poison") > 1)
    webhook.end()
    assert posted[:4] == ["poison", "b", "c", "poison"]
    assert state.count_deliveries() == 1
    state.close()


def test_waits_grow_to_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, waits = WatchState(tmp_path), list[float]()
    add(state, "a")
    webhook = Webhook("http://127.0.0.1", state)
    monkeypatch.setattr(webhook, "_post", lambda _: "down")
    monkeypatch.setattr(
        webhook._ending, "wait", lambda seconds: waits.append(seconds) or (len(waits) > 14 and webhook._ending.set())
    )
    webhook._deliver_all()
    assert waits[:3] == [5.0, 10.0, 20.0]
    assert max(waits) == waits[-1] == 3600.0
    state.close()


def test_an_address_that_is_down_stops_nothing_and_a_later_call_delivers(
    station: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving(Receiver()) as gone:
        pass
    assert watch(station, tmp_path / "out", gone) == 2
    assert "webhook: cannot be reached (Connection refused)" in capsys.readouterr().err
    receiver = Receiver()
    with receiving(receiver) as address:
        assert watch(station, tmp_path / "out", address) == 0
    assert {body["recording"] for body in receiver.bodies} == {"a.wav", "b.wav"}


def test_a_kill_after_the_confirmation_delivers_again_under_the_same_id(
    station: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver()
    with receiving(receiver) as address:
        with monkeypatch.context() as patch:
            patch.setattr(WatchState, "end_delivery", lambda *_, **__: (_ for _ in ()).throw(UserError("killed")))
            made, state, webhook = watcher_of(station, tmp_path / "out", MadeUp(), ONCE, address=address)
            assert webhook
            made.run()
            webhook.start()
            webhook.end()
            with pytest.raises(UserError, match="killed"):
                webhook.tell()
            state.close()
        assert watch(station, tmp_path / "out", address) == 0
    assert [body["recording"] for body in receiver.bodies] == ["a.wav", "a.wav", "b.wav"]
    assert receiver.bodies[0]["id"] == receiver.bodies[1]["id"]


def test_a_server_that_never_responds_does_not_hold_up_prediction(
    station: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_module, "LONGEST_SILENCE", 30.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as deaf:
        address = f"http://127.0.0.1:{deaf.server_address[1]}"  # it accepts connections, and does nothing
        made, state, webhook = watcher_of(station, tmp_path / "out", MadeUp(), ONCE, address=address)
        assert webhook
        webhook.start()
        start = time.monotonic()
        assert made.run().done == 2
        webhook.end(seconds=0.1, last=0.0)
        assert time.monotonic() - start < 10
        assert state.next_delivery() == Delivery(1, 0, state.next_delivery().body)  # type: ignore[union-attr]
        state.close()


def test_what_is_being_posted_is_noted_also_when_the_call_ends_with_an_error(tmp_path: Path) -> None:
    state, begun = WatchState(tmp_path), threading.Event()
    for name in ("a", "b"):
        add(state, name)

    class Slow(Webhook):
        def _post(self, body: str) -> str:
            begun.set()
            time.sleep(0.3)
            return ""

    with pytest.raises(UserError, match="disk"), Slow("http://127.0.0.1", state).delivering():
        assert begun.wait(10)
        raise UserError("disk")
    assert state.count_deliveries() == 1  # a is noted, b is not begun
    state.close()


def test_an_address_of_the_environment_is_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDCLEF_WEBHOOK", "https://example.org/secret")
    assert webhook_address(WatchFlags()) == "https://example.org/secret"
    assert webhook_address(WatchFlags(webhook="https://example.org/other")) == "https://example.org/other"


@pytest.mark.parametrize("address", ["http://example.org", "https://example.org:8000/a?b=c", "http://[::1]:80/x"])
def test_addresses_of_webhooks(address: str) -> None:
    check_webhook(address)


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "example.org", "http://", "http://a@b/", "https://a b", "https://ä.org"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UserError, match="--webhook"):
        check_webhook(address)
