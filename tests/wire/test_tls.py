"""TLS with clients and with replicas, over real sockets, on both loops."""

import asyncio
import shutil
import ssl

import pytest

from fleet.errors import SettingError
from fleet.model import Policy, TlsPorts, WarmUp
from fleet.reasons import Reason
from fleet.settings import Settings
from fleet.tls import Certificates
from tests.wire.grpcstage import INFER as GRPC_INFER
from tests.wire.grpcstage import calls, named
from tests.wire.secured import Authority
from tests.wire.stage import BOTH_LOOPS, INFER, Client, infer, stage

pytestmark = [pytest.mark.anyio, BOTH_LOOPS]


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def inbound(s):
    (found,) = s.front._context.inbounds
    return found


async def test_requests_follow_one_another_on_a_secured_connection(authority):
    async with stage(settings=authority.settings(), tls=authority.client()) as s:
        client = await s.client()
        for number in range(3):
            client.send(infer(b"%d" % number))
            assert (await client.answer()).status == 200
        assert [request.body for request in s.recorder.requests] == [b"0", b"1", b"2"]
        assert inbound(s).reception.visitor.subject == ""


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [((), None), (("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "http/1.1"), (("h2",), "h2")],
)
async def test_only_who_offers_nothing_else_gets_h2(authority, offers, chosen):
    async with stage(settings=authority.settings(), tls=authority.client(*offers)) as s:
        client = await s.client()
        secured = client.writer.get_extra_info("ssl_object")
        assert secured.selected_alpn_protocol() == chosen


@pytest.mark.parametrize(
    ("least", "most", "spoken"),
    [("1.2", ssl.TLSVersion.TLSv1_2, "TLSv1.2"), ("1.3", ssl.TLSVersion.TLSv1_3, "TLSv1.3")],
)
async def test_the_oldest_version_is_spoken(authority, least, most, spoken):
    tls = authority.client()
    tls.maximum_version = most
    async with stage(settings=authority.settings(tls_min_version=least), tls=tls) as s:
        client = await s.client()
        assert client.writer.get_extra_info("ssl_object").version() == spoken


async def test_an_older_version_is_refused(authority):
    tls = authority.client()
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    async with stage(settings=authority.settings(tls_min_version="1.3"), tls=tls) as s:
        with pytest.raises(OSError):  # noqa: PT011 - an alert or a reset, as the loop will
            await s.client()
        await s.until(lambda: s.front.other.refused == {Reason.HANDSHAKE_FAILED: 1})


async def test_who_speaks_plainly_to_a_secured_port_is_cut_off(authority):
    async with stage(settings=authority.settings()) as s:
        client = await s.client()
        client.send(infer())
        assert await client.closed()
        await s.until(lambda: s.front.other.refused == {Reason.HANDSHAKE_FAILED: 1})
        assert not s.recorder.requests


async def test_a_handshake_that_dawdles_is_ended(authority):
    async with stage(settings=authority.settings(header_timeout=0.2)) as s:
        client = await s.client()
        client.send(b"\x16\x03\x01")
        async with asyncio.timeout(2):
            assert await client.closed()


async def test_connections_count_before_their_handshake(authority):
    settings = authority.settings(max_connections=2)
    async with stage(settings=settings) as s:
        for _ in range(258):
            await s.client()
        await s.until(lambda: len(s.front._context.securing) == 258)
        over = await s.client()
        assert await over.closed()
        assert len(s.front._context.securing) == 258


async def test_handshakes_of_one_address_leave_room_for_others(authority):
    settings = authority.settings(max_connections=2, max_connections_per_address=2)
    async with stage(settings=settings, tls=authority.client()) as s:
        securing = s.front._context.securing
        dawdling = [await _plainly(s) for _ in range(2)]
        await s.until(lambda: len(securing) == 2)
        over = await _plainly(s)
        assert await over.closed()
        assert len(securing) == 2
        for client in dawdling:
            client.abort()
        await s.until(lambda: not securing)
        assert (await s.call(infer())).status == 200


async def _plainly(s) -> Client:
    """A connection that says nothing of TLS."""
    found = Client(*await asyncio.open_connection("127.0.0.1", s.port))
    s.clients.append(found)
    return found


async def test_one_connection_too_many_is_told_so(authority):
    settings = authority.settings(max_connections=1)
    async with stage(settings=settings, tls=authority.client()) as s:
        await s.client()
        await s.until(lambda: s.front.connections == 1)
        second = await s.client()
        assert (await second.answer()).field("ebbtide-reason") == "too_many_connections"


async def test_a_client_that_leaves_while_held_is_never_dispatched(authority):
    async with stage(settings=authority.settings(), tls=authority.client(), awake=False) as s:
        s.cluster.start_after = 1000.0
        client = await s.client()
        client.send(infer())
        await s.until(lambda: s.line.waiting == 1)
        client.abort()
        await s.until(s.idle)
        assert not s.recorder.requests


async def test_large_bodies_pass_both_ways(authority):
    async with stage(settings=authority.settings(), tls=authority.client()) as s:
        body = bytes(range(256)) * 16_384
        s.recorder.script = _echo
        client = await s.client(limit=2**24)
        client.send(infer(body))
        assert (await client.answer()).body == body


async def _echo(request, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.body))
    writer.write(request.body)
    await writer.drain()


async def test_a_refused_upload_gets_its_answer(authority):
    policy = Policy(max_body=10, slots=1, warm_up=WarmUp.NONE)
    async with stage(settings=authority.settings(), tls=authority.client(), policy=policy) as s:
        client = await s.client()
        client.send(INFER + b"Content-Length: 400000\r\n\r\n" + b"x" * 200_000)
        assert (await client.answer()).status == 413
        client.send(b"x" * 200_000)
        assert await client.closed()


async def test_an_absolute_target_names_the_scheme_that_is_spoken(authority):
    head = b"GET %b://gw/v2/health/live HTTP/1.1\r\nHost: gw\r\n\r\n"
    async with stage(settings=authority.settings(), tls=authority.client()) as s:
        assert (await s.call(head % b"https", method="GET")).status == 200
        assert (await s.call(head % b"http", method="GET")).status == 400


# Certificates that change.


async def test_a_changed_certificate_serves_the_next_handshake(authority):
    settings = authority.settings()
    async with stage(settings=settings, tls=authority.client()) as s:
        first = await s.client()
        certificates = s.front._context.certificates
        authority.certificate("localhost", "127.0.0.1", organization_name="Renewed")
        certificates.look()
        second = await s.client()
        assert "Renewed" not in str(first.writer.get_extra_info("peercert"))
        assert "Renewed" in str(second.writer.get_extra_info("peercert"))
        first.send(infer())
        assert (await first.answer()).status == 200


async def test_a_broken_certificate_leaves_the_old_one_until_it_is_mended(authority):
    settings = authority.settings()
    async with stage(settings=settings, tls=authority.client()) as s:
        certificates = s.front._context.certificates
        path = authority.folder / "cert.pem"
        path.write_text("half of it")
        certificates.look()
        await s.client()
        with pytest.raises(SettingError, match="EBBTIDE_TLS_CERT"):
            certificates.reload()
        authority.certificate("localhost", "127.0.0.1", organization_name="Mended")
        certificates.look()
        last = await s.client()
        assert "Mended" in str(last.writer.get_extra_info("peercert"))


async def test_other_authorities_take_effect_whole(authority, tmp_path):
    """Nobody whom the old one alone vouches for gets in any more."""
    other = Authority(tmp_path / "other")
    other.folder.mkdir()
    ca = tmp_path / "clients.pem"
    shutil.copy(authority.trusted, ca)
    settings = authority.settings(tls_client_ca=str(ca))
    old = authority.certificate("old.example", file="old.pem")
    new = other.certificate("new.example", file="new.pem")
    async with stage(settings=settings, tls=authority.client(certificate=old)) as s:
        assert (await s.call(infer())).status == 200
        shutil.copy(other.trusted, ca)
        s.front._context.certificates.look()
        assert not await _gets_in(s, infer())
        s.tls = authority.client(certificate=new)
        assert (await s.call(infer())).status == 200


async def _gets_in(s, request):
    try:
        return (await s.call(request)).status == 200
    except (OSError, asyncio.IncompleteReadError):
        # TLS 1.3: the client is through before the server has looked at its certificate.
        return False


# Clients' certificates.


async def test_a_required_certificate_names_the_caller(authority):
    settings = authority.settings(tls_client_ca=authority.trusted)
    mine = authority.certificate(
        "alice.example", file="alice.pem", common_name="alice", organization_name="Acme, Inc."
    )
    async with stage(settings=settings, tls=authority.client(certificate=mine)) as s:
        client = await s.client()
        client.send(infer())
        assert (await client.answer()).status == 200
        assert inbound(s).reception.visitor.subject.startswith("CN=alice,")
        assert "O=Acme\\, Inc." in inbound(s).reception.visitor.subject


@pytest.mark.parametrize(("auth", "welcome"), [("required", False), ("optional", True)])
async def test_who_shows_no_certificate(authority, auth, welcome):
    settings = authority.settings(tls_client_ca=authority.trusted, tls_client_auth=auth)
    async with stage(settings=settings, tls=authority.client()) as s:
        assert await _gets_in(s, infer()) is welcome


async def test_a_stranger_s_certificate_is_refused_even_where_none_is_needed(authority, tmp_path):
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").certificate("mallory.example")
    settings = authority.settings(tls_client_ca=authority.trusted, tls_client_auth="optional")
    async with stage(settings=settings, tls=authority.client(certificate=stranger)) as s:
        assert not await _gets_in(s, infer())
        assert not s.recorder.requests


# Replicas that speak TLS.


def secured(**changes):
    return Policy(slots=2, warm_up=WarmUp.NONE, tls=TlsPorts.ON, **changes)


async def test_a_replica_is_known_by_the_name_in_its_certificate(authority):
    settings = Settings(replica_ca=authority.trusted)
    async with stage(
        settings=settings,
        replica_tls=authority.server("model.example"),
        policy=secured(tls_name="model.example"),
    ) as s:
        client = await s.client()
        for _ in range(2):
            client.send(infer())
            assert (await client.answer()).status == 200
        assert s.recorder.connections == 1


async def test_a_replica_is_known_by_its_address(authority):
    settings = Settings(replica_ca=authority.trusted)
    tls = authority.server("127.1.0.1")
    async with stage(settings=settings, replica_tls=tls, policy=secured()) as s:
        assert (await s.call(infer())).status == 200


@pytest.mark.parametrize(
    ("holds", "trusted"), [("another.example", True), ("model.example", False)]
)
async def test_a_replica_that_is_another_gets_nothing(authority, tmp_path, holds, trusted):
    (tmp_path / "other").mkdir()
    ca = authority if trusted else Authority(tmp_path / "other")
    settings = Settings(replica_ca=ca.trusted)
    policy = secured(tls_name="model.example", wait_timeout=0.5)
    async with stage(settings=settings, replica_tls=authority.server(holds), policy=policy) as s:
        assert (await s.call(infer())).status == 504
        assert not s.recorder.heads


async def test_a_replica_may_be_anyone_where_the_operator_says_so(authority):
    tls = authority.server("whatever.example")
    async with stage(replica_tls=tls, policy=secured(tls_verify=False)) as s:
        assert (await s.call(infer())).status == 200


async def test_a_replica_gets_ebbtide_s_certificate(authority):
    mine = authority.certificate("ebbtide.example", file="mine.pem")
    settings = Settings(replica_ca=authority.trusted, replica_cert=mine)
    tls = authority.server("127.1.0.1", asks=True)
    async with stage(settings=settings, replica_tls=tls, policy=secured()) as s:
        assert (await s.call(infer())).status == 200


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"tls_key": "key.pem"}, "EBBTIDE_TLS_KEY"),
        ({"tls_client_ca": "ca.pem"}, "EBBTIDE_TLS_CLIENT_CA"),
        ({"tls_cert": "nowhere.pem"}, "EBBTIDE_TLS_CERT='nowhere.pem': No such file"),
        ({"replica_key": "key.pem"}, "EBBTIDE_REPLICA_KEY"),
        ({"replica_ca": "/dev/null"}, "EBBTIDE_REPLICA_CA"),
        ({"replica_cert": "/dev/null"}, "EBBTIDE_REPLICA_CERT"),
    ],
)
async def test_what_cannot_be_used_is_said(settings, wrong):
    with pytest.raises(SettingError, match=wrong):
        Certificates(Settings(**settings))


@pytest.mark.parametrize("now", ["", "nowhere.pem"])
async def test_other_settings_that_cannot_be_used_leave_the_old_ones(authority, now):
    async with stage(settings=authority.settings(), tls=authority.client()) as s:
        s.front._context.certificates.follow(Settings(tls_cert=now))
        assert (await s.call(infer())).status == 200


async def test_other_settings_take_effect_at_the_next_handshake(authority):
    async with stage(settings=authority.settings(), tls=authority.client()) as s:
        renewed = authority.certificate("localhost", "127.0.0.1", file="b.pem")
        s.front._context.certificates.follow(
            Settings(tls_cert=renewed, tls_client_ca=authority.trusted)
        )
        assert not await _gets_in(s, infer())


# gRPC.


async def _echoed(on):
    client = await on.client()
    for _ in range(2):
        number = client.call(GRPC_INFER)
        client.data(number, named("demo", b"hi"), end=True)
        told = await client.over(number)
    return told.status, bytes(told.data) == named("demo", b"hi")


async def test_calls_come_over_tls(authority):
    async with calls(settings=authority.settings(), tls=authority.client("h2")) as on:
        assert await _echoed(on) == ("0", True)


@pytest.mark.parametrize("ports", [TlsPorts.ON, TlsPorts.GRPC])
async def test_a_replica_is_called_over_tls_which_it_wants_to_be_offered_h2_for(authority, ports):
    context = authority.server("model.example")
    context.set_alpn_protocols(["h2"])
    policy = Policy(slots=4, warm_up=WarmUp.NONE, tls=ports, tls_name="model.example")
    settings = Settings(replica_ca=authority.trusted)
    async with calls(settings=settings, replica_tls=context, policy=policy) as on:
        assert await _echoed(on) == ("0", True)
        (peer,) = on.replica.peers
        assert peer.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"


async def test_a_replica_that_is_another_is_not_called(authority):
    policy = Policy(
        slots=4, warm_up=WarmUp.NONE, tls=TlsPorts.GRPC, tls_name="model.example", wait_timeout=0.5
    )
    settings = Settings(replica_ca=authority.trusted)
    tls = authority.server("another.example")
    async with calls(settings=settings, replica_tls=tls, policy=policy) as on:
        client = await on.client()
        number = client.call(GRPC_INFER)
        client.data(number, named("demo"), end=True)
        assert (await client.over(number)).status == "4"
        assert not on.replica.calls
