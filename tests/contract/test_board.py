"""Serving reads exactly what was published, and a difference lands only on the publication it was made from."""

from dataclasses import replace
from datetime import UTC, datetime
from struct import iter_unpack

from pullarm.domain.assignment import allocate
from pullarm.domain.experiment import Arm, Experiment, PolicySpec, Spec, State
from pullarm.domain.ports import Board
from pullarm.domain.publication import Head, PosteriorCell, Publication, Published

_SPEC = Spec(
    name="a",
    policies=(PolicySpec(name="thompson", params={"floor": 0.05}), PolicySpec(name="control")),
)
_EXPERIMENT = Experiment(
    number=7,
    id="exp_a",
    key="a",
    state=State.RUNNING,
    spec=_SPEC,
    config_no=3,
    allocation_epoch=2,
    guard_epoch=1,
    salt=b"\x00salt\xff",
    buckets=allocate({1: 1.0, 2: 1.0}),
    arms=(Arm(arm_no=1, arm_id="one", label="One"), Arm(arm_no=2, arm_id="two")),
    created_at=datetime(2025, 10, 14, 1, 2, 3, 456_000, tzinfo=UTC),
    updated_at=datetime(2025, 10, 15, tzinfo=UTC),
)


def _publication(
    pub_no: int,
    cells: list[PosteriorCell],
    *,
    complete: bool = False,
    experiment: Experiment = _EXPERIMENT,
    incarnation: str = "one",
    grid: tuple[int, bytes | None] = (0, None),
    reconfigured: bool = False,
) -> Publication:
    grid_no, points = grid
    head = Head(
        incarnation=incarnation,
        pub_no=pub_no,
        fold_no=pub_no * 10,
        config_no=experiment.config_no,
        as_of_ms=1_760_000_000_000,
        grid_no=grid_no,
        kernel=1,
        arms=len(experiment.arms),
    )
    return Publication(
        experiment=experiment,
        head=head,
        previous_pub_no=pub_no - 1,
        complete=complete,
        reconfigured=reconfigured or complete,
        cells=cells,
        grid=points,
    )


async def _read(board: Board, have: Head | None = None) -> Published:
    published = await board.read(7, have)
    assert published is not None
    return published


def _pairs(published: Published, policy: int) -> list[tuple[int, int]]:
    return [
        (serves, rewards) for serves, rewards in iter_unpack("<qq", published.posteriors[policy])
    ]


async def test_complete_publication_is_read_back(board: Board) -> None:
    publication = _publication(
        4,
        [(2, 1, 5_000_000, 2_500_000), (1, 2, 2**62, 0)],
        complete=True,
        grid=(3, b"\x00\xffa grid"),
    )
    assert await board.publish(publication)
    published = await _read(board)
    assert published.head == publication.head
    assert published.experiment == _EXPERIMENT
    assert published.grid == b"\x00\xffa grid"
    assert published.halt is None
    assert set(published.posteriors) == {1, 2, 3, 4}
    assert _pairs(published, 1) == [(0, 0), (2**62, 0)]
    assert _pairs(published, 2) == [(5_000_000, 2_500_000), (0, 0)]
    assert _pairs(published, 4) == [(0, 0), (0, 0)]


async def test_what_was_never_published_is_none(board: Board) -> None:
    assert await board.read(7, None) is None
    assert await board.versions([7]) == {7: ("", 0, "")}


async def test_difference_changes_its_cells_only(board: Board) -> None:
    await board.publish(_publication(1, [(2, 1, 1, 1), (2, 2, 2, 2), (1, 1, 3, 3)], complete=True))
    assert await board.publish(_publication(2, [(2, 2, 9, 8)]))
    published = await _read(board)
    assert published.head.pub_no == 2
    assert await board.versions([7]) == {7: ("one", 2, "")}
    assert _pairs(published, 2) == [(1, 1), (9, 8)]
    assert _pairs(published, 1) == [(3, 3), (0, 0)]
    assert published.experiment == _EXPERIMENT


async def test_cell_that_fell_to_zero_is_zero(board: Board) -> None:
    await board.publish(_publication(1, [(2, 1, 1, 1)], complete=True))
    assert await board.publish(_publication(2, [(2, 1, 0, 0)]))
    assert _pairs(await _read(board), 2) == [(0, 0), (0, 0)]


async def test_difference_across_a_gap_is_refused(board: Board) -> None:
    assert not await board.publish(_publication(1, [(2, 1, 1, 1)]))
    assert await board.read(7, None) is None
    await board.publish(_publication(1, [(2, 1, 1, 1)], complete=True))
    assert not await board.publish(_publication(3, [(2, 1, 7, 7)]))
    assert not await board.publish(_publication(1, [(2, 1, 7, 7)]))
    published = await _read(board)
    assert published.head.pub_no == 1
    assert _pairs(published, 2)[0] == (1, 1)


async def test_difference_of_another_incarnation_is_refused(board: Board) -> None:
    await board.publish(_publication(1, [(2, 1, 1, 1)], complete=True))
    assert not await board.publish(_publication(2, [(2, 1, 7, 7)], incarnation="two"))
    assert (await _read(board)).head.pub_no == 1


async def test_complete_publication_bridges_a_gap_and_forgets_old_cells(board: Board) -> None:
    await board.publish(
        _publication(1, [(2, 1, 1, 1), (1, 2, 4, 4)], complete=True, grid=(1, b"8 bytes."))
    )
    assert await board.publish(_publication(9, [(2, 2, 2, 2)], complete=True))
    published = await _read(board)
    assert published.head.pub_no == 9
    assert _pairs(published, 1) == [(0, 0), (0, 0)]
    assert _pairs(published, 2) == [(0, 0), (2, 2)]
    assert published.grid is None


async def test_older_complete_publication_changes_nothing(board: Board) -> None:
    await board.publish(_publication(5, [(2, 1, 5, 5)], complete=True))
    assert await board.publish(_publication(4, [(2, 1, 4, 4)], complete=True))
    published = await _read(board)
    assert published.head.pub_no == 5
    assert _pairs(published, 2)[0] == (5, 5)


async def test_new_incarnation_replaces_even_a_higher_number(board: Board) -> None:
    await board.publish(_publication(5, [(2, 1, 5, 5)], complete=True))
    assert await board.publish(_publication(1, [(2, 1, 1, 1)], complete=True, incarnation="two"))
    assert await board.versions([7]) == {7: ("two", 1, "")}
    assert _pairs(await _read(board), 2)[0] == (1, 1)


async def test_arms_grow_with_a_difference(board: Board) -> None:
    await board.publish(_publication(1, [(2, 1, 1, 1)], complete=True))
    arms = (*_EXPERIMENT.arms, *(Arm(arm_no=n, arm_id=f"{n}") for n in range(3, 6)))
    grown = replace(_EXPERIMENT, arms=arms, config_no=4)
    publication = _publication(2, [(2, 4, 4, 4)], experiment=grown, reconfigured=True)
    assert await board.publish(publication)
    published = await _read(board)
    assert published.experiment == grown
    assert _pairs(published, 2) == [(1, 1), (0, 0), (0, 0), (4, 4), (0, 0)]
    assert _pairs(published, 3) == [(0, 0)] * 5


async def test_experiment_without_arms_is_published(board: Board) -> None:
    empty = replace(_EXPERIMENT, arms=())
    assert await board.publish(_publication(1, [], complete=True, experiment=empty))
    published = await _read(board)
    assert published.experiment == empty
    assert published.posteriors == {1: b"", 2: b"", 3: b"", 4: b""}


async def test_unlisted_candidates_have_no_row(board: Board) -> None:
    await board.publish(_publication(1, [(1, 0, 9, 9), (1, 1, 1, 1)], complete=True))
    await board.publish(_publication(2, [(1, 0, 8, 8), (1, 3, 8, 8)]))
    assert _pairs(await _read(board), 1) == [(1, 1), (0, 0)]


async def test_configuration_is_read_only_where_it_is_news(board: Board) -> None:
    await board.publish(_publication(1, [], complete=True, grid=(1, b"a first ")))
    have = (await _read(board)).head
    await board.publish(_publication(2, [(2, 1, 1, 1)], grid=(1, None)))
    published = await _read(board, have)
    assert published.head.pub_no == 2
    assert published.experiment is None
    assert published.grid is None
    assert _pairs(published, 2)[0] == (1, 1)


async def test_new_grid_is_read(board: Board) -> None:
    await board.publish(_publication(1, [], complete=True, grid=(1, b"a first ")))
    have = (await _read(board)).head
    await board.publish(_publication(2, [], grid=(2, b"a second")))
    assert (await _read(board, have)).grid == b"a second"


async def test_new_configuration_is_read(board: Board) -> None:
    await board.publish(_publication(1, [], complete=True, grid=(1, b"a first ")))
    have = (await _read(board)).head
    stopped = replace(_EXPERIMENT, config_no=4, state=State.STOPPED)
    await board.publish(_publication(2, [], experiment=stopped, reconfigured=True, grid=(1, None)))
    published = await _read(board, have)
    assert published.experiment == stopped
    assert published.grid == b"a first "


async def test_other_incarnation_is_read_whole(board: Board) -> None:
    await board.publish(_publication(1, [], complete=True))
    have = (await _read(board)).head
    await board.publish(_publication(1, [], complete=True, incarnation="two"))
    assert (await _read(board, have)).experiment == _EXPERIMENT


async def test_halt_survives_whatever_is_published(board: Board) -> None:
    await board.halt(7, State.STOPPED)
    assert await board.read(7, None) is None
    await board.publish(_publication(1, [], complete=True))
    assert (await _read(board)).halt is State.STOPPED
    await board.publish(_publication(2, [(2, 1, 1, 1)]))
    await board.publish(_publication(1, [], complete=True, incarnation="two"))
    assert (await _read(board)).halt is State.STOPPED
    await board.halt(7, State.ROLLED_BACK, 1)
    await board.release(7, 9)
    assert (await _read(board)).halt is State.STOPPED, "for good"


async def test_a_rollback_holds_until_a_later_guard_epoch_begins(board: Board) -> None:
    await board.publish(_publication(1, [], complete=True))
    assert await board.halted(7) is None
    await board.halt(7, State.ROLLED_BACK, 2, "why: because")
    await board.halt(7, State.ROLLED_BACK, 1)
    assert await board.halted(7) == (State.ROLLED_BACK, 2, "why: because")
    assert (await board.versions([7]))[7].halt == "rolled_back"
    before = (await board.index()).change_no
    for epoch in (1, 2):
        await board.release(7, epoch)
        assert (await _read(board)).halt is State.ROLLED_BACK
    assert (await board.index()).change_no == before
    await board.release(7, 3)
    assert (await _read(board)).halt is None
    assert await board.halted(7) is None
    assert (await board.index()).change_no != before
    await board.halt(7, State.ROLLED_BACK, 3)
    await board.halt(7, State.STOPPED, 3, "over")
    await board.halt(7, State.ROLLED_BACK, 4)
    assert (await _read(board)).halt is State.STOPPED
    assert await board.halted(7) == (State.STOPPED, 3, "over")


async def test_halt_is_forgotten(board: Board) -> None:
    await board.publish(_publication(1, [], complete=True))
    await board.halt(7, State.STOPPED)
    before = (await board.index()).change_no
    await board.unhalt(7)
    await board.unhalt(8)
    assert (await _read(board)).halt is None
    assert (await board.index()).change_no == before + 1


async def test_index_tells_what_is_complete(board: Board) -> None:
    before = await board.index()
    assert (before.complete, before.incarnation, before.experiments) == (False, "", ())
    await board.publish(_publication(1, [], complete=True))
    assert not (await board.index()).complete
    await board.complete("one", [7, 9])
    index = await board.index()
    assert (index.complete, index.incarnation, index.experiments) == (True, "one", (7, 9))


async def test_every_change_moves_the_change_number(board: Board) -> None:
    seen = [(await board.index()).change_no]
    for publication in (_publication(1, [], complete=True), _publication(2, [(2, 1, 1, 1)])):
        await board.publish(publication)
        seen.append((await board.index()).change_no)
    await board.halt(7, State.STOPPED)
    seen.append((await board.index()).change_no)
    await board.complete("one", [7])
    seen.append((await board.index()).change_no)
    assert len(set(seen)) == len(seen)


async def test_versions_of_many_experiments_are_each_their_own(board: Board) -> None:
    for number in range(1, 51):
        experiment = replace(_EXPERIMENT, number=number)
        await board.publish(_publication(number, [], complete=True, experiment=experiment))
    await board.halt(3, State.ROLLED_BACK)
    await board.halt(99, State.STOPPED)
    found = await board.versions([*range(1, 51), 99])
    assert found.pop(3) == ("one", 3, "rolled_back")
    assert found.pop(99) == ("", 0, "stopped")
    assert found == {n: ("one", n, "") for n in range(1, 51) if n != 3}
    assert await board.versions([]) == {}


async def test_beat_moves_only_when_it_is_told_to(board: Board) -> None:
    beats = [(await board.index()).beat]
    await board.publish(_publication(1, [], complete=True))
    await board.complete("one", [7])
    assert (await board.index()).beat == beats[0]
    for _ in range(2):
        await board.beat()
        beats.append((await board.index()).beat)
    assert len(set(beats)) == 3
