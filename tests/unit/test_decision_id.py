"""A decision id says what was signed, and nothing else is a decision id."""

import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Set
from hashlib import blake2b

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pullarm.domain.decision import RewardStatus, Token
from pullarm.domain.decision_id import MAX_CHARACTERS, KeyRing, decode, encode
from pullarm.domain.errors import ConfigurationError, InvalidInput

ALPHABET = string.ascii_letters + string.digits + "-_"
DEPLOYMENT = bytes(range(16))
OLD, NEW = b"o" * 32, b"n" * 32
RING = KeyRing(deployment=DEPLOYMENT, sign=1, keys={1: OLD})
TOKEN = Token(
    uid=bytes(range(100, 116)),
    experiment=300,
    allocation_epoch=200,
    assigned=2,
    acting=2,
    reason=1,
    learn_slots=1,
    unit_hash=-3,
    cohort=0,
    arms=[1, 2, 300],
)

THREE_BYTE_ARMS = st.integers(0, 2**21 - 1)
tokens = st.builds(
    Token,
    uid=st.binary(min_size=16, max_size=16),
    experiment=st.integers(0, 2**32 - 1),
    allocation_epoch=st.integers(0, 2**32 - 1),
    assigned=st.integers(0, 4),
    acting=st.integers(0, 4),
    reason=st.integers(1, 8),
    learn_slots=st.integers(1, 100),
    unit_hash=st.integers(-(2**63), 2**63 - 1),
    cohort=st.integers(0, 2**16 - 1),
    arms=st.lists(THREE_BYTE_ARMS, max_size=100),
)


def ring(sign: int, keys: Mapping[int, bytes], deployment: bytes = DEPLOYMENT) -> KeyRing:
    return KeyRing(deployment=deployment, sign=sign, keys=keys)


def signed(payload: bytes) -> str:
    """What only a holder of the key can make."""
    mac = blake2b(payload, key=OLD, digest_size=16, person=DEPLOYMENT).digest()
    return urlsafe_b64encode(payload + mac).rstrip(b"=").decode()


NO_ID = {RewardStatus.MALFORMED_ID}
NOT_OURS = {RewardStatus.FORGED_ID}


def assert_refused(
    text: str, by: KeyRing = RING, *, as_one_of: Set[RewardStatus] = NO_ID | NOT_OURS
) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(text, by)
    assert [problem.field for problem in caught.value.problems] == ["decision_id"]
    assert caught.value.reward_status in as_one_of


@given(token=tokens)
@example(token=TOKEN._replace(arms=[2**21 - 1] * 100, allocation_epoch=2**32 - 1, cohort=2**16 - 1))
def test_what_was_signed_is_read_back(token: Token) -> None:
    text = encode(token, RING)
    assert decode(text, RING) == token
    assert len(text) <= MAX_CHARACTERS
    assert set(text) <= set(ALPHABET)


def test_equal_decisions_have_equal_ids_and_others_do_not() -> None:
    assert encode(TOKEN, RING) == encode(TOKEN._replace(), RING)
    assert encode(TOKEN, RING) != encode(TOKEN._replace(arms=[1, 2, 301]), RING)


def test_every_change_of_one_character_is_refused() -> None:
    text = encode(TOKEN, RING)
    for place, character in enumerate(text):
        for other in (ALPHABET + "+/=\n é\x00").replace(character, ""):
            assert_refused(text[:place] + other + text[place + 1 :])


def test_every_truncation_is_refused() -> None:
    text = encode(TOKEN, RING)
    for length in range(len(text)):
        assert_refused(text[:length])
        assert_refused(text[len(text) - length :])


@pytest.mark.parametrize("extra", [*ALPHABET, "=", "==", "\n", " ", ".", "AAAA"])
def test_every_extension_is_refused(extra: str) -> None:
    text = encode(TOKEN, RING)
    assert_refused(text + extra)
    assert_refused(extra + text)


@pytest.mark.parametrize("arms", [[1], [1, 2], [1, 2, 3]], ids=len)
def test_spellings_that_decode_to_the_same_bytes_are_refused(arms: list[int]) -> None:
    text = encode(TOKEN._replace(arms=arms), RING)
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    spellings = {
        text[:-1] + last
        for last in ALPHABET
        if urlsafe_b64decode(text[:-1] + last + "=" * (-len(text) % 4)) == data
    }
    spellings |= {text + "=" * (-len(text) % 4), f"{text[:8]}\n{text[8:]}"}
    spellings -= {text}
    assert spellings
    for spelling in spellings:
        assert_refused(spelling, as_one_of=NO_ID)


@given(text=st.text(max_size=600))
@example(text="")
@example(text="\ud800")
@example(text="A" * MAX_CHARACTERS)
@example(text="é" * 100)
def test_arbitrary_text_is_refused(text: str) -> None:
    assert_refused(text)


@given(data=st.binary(max_size=384))
def test_arbitrary_bytes_under_a_known_key_are_refused(data: bytes) -> None:
    assert_refused(urlsafe_b64encode(b"\x01\x01" + data).rstrip(b"=").decode())


@pytest.mark.parametrize("text", ["A" * (MAX_CHARACTERS + 1), "A" * 10_000_000])
def test_what_is_too_long_is_told_so(text: str) -> None:
    with pytest.raises(InvalidInput, match=f"{len(text)} characters; at most {MAX_CHARACTERS}"):
        decode(text, RING)


def test_another_deployment_refuses() -> None:
    assert_refused(encode(TOKEN, RING), ring(1, {1: OLD}, deployment=bytes(16)), as_one_of=NOT_OURS)


def test_another_key_under_the_same_number_refuses() -> None:
    assert_refused(encode(TOKEN, RING), ring(1, {1: NEW}), as_one_of=NOT_OURS)
    assert_refused(encode(TOKEN, RING), ring(2, {2: OLD}), as_one_of=NOT_OURS)


def test_key_number_cannot_be_swapped() -> None:
    both = ring(1, {1: OLD, 2: OLD})
    data = bytearray(urlsafe_b64decode(encode(TOKEN, both) + "=="))
    data[1] = 2
    assert_refused(urlsafe_b64encode(data).rstrip(b"=").decode(), both)


def test_unknown_format_is_refused_even_when_it_is_signed() -> None:
    text = encode(TOKEN, RING)
    payload = bytearray(urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-16])
    assert decode(signed(bytes(payload)), RING) == TOKEN
    payload[0] = 2
    assert_refused(signed(bytes(payload)), as_one_of=NO_ID)


@pytest.mark.parametrize("length", [3, 6, 10, 20, 38, 39])
def test_signed_payload_that_ends_early_is_refused(length: int) -> None:
    text = encode(TOKEN, RING)
    payload = urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-16]
    assert length < len(payload)
    assert_refused(signed(payload[:length]), as_one_of=NO_ID)


def test_rotation_in_order_refuses_no_id_of_a_key_still_held() -> None:
    before, added = ring(1, {1: OLD}), ring(1, {1: OLD, 2: NEW})
    signing, retired = ring(2, {1: OLD, 2: NEW}), ring(2, {2: NEW})
    for holder in (before, added, signing):
        assert decode(encode(TOKEN, before), holder) == TOKEN
    for holder in (added, signing, retired):
        assert decode(encode(TOKEN, signing), holder) == TOKEN
    assert_refused(encode(TOKEN, before), retired, as_one_of=NOT_OURS)
    assert_refused(encode(TOKEN, signing), before, as_one_of=NOT_OURS)


@pytest.mark.parametrize(
    ("deployment", "sign", "keys", "problem"),
    [
        (bytes(15), 1, {1: OLD}, "deployment must be 16 bytes"),
        (bytes(17), 1, {1: OLD}, "deployment must be 16 bytes"),
        (DEPLOYMENT, 2, {1: OLD}, "key 2 to sign with is not there"),
        (DEPLOYMENT, 1, {1: OLD, 256: NEW}, "a number below 256 and 32 bytes"),
        (DEPLOYMENT, 1, {1: OLD, -1: NEW}, "a number below 256 and 32 bytes"),
        (DEPLOYMENT, 1, {1: OLD[:31]}, "a number below 256 and 32 bytes"),
    ],
)
def test_unsound_key_ring_is_refused(
    deployment: bytes, sign: int, keys: dict[int, bytes], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        ring(sign, keys, deployment)


def test_keys_are_not_printed() -> None:
    assert "keys" not in repr(RING)
    assert "oooo" not in repr(RING)
