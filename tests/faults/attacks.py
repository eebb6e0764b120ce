"""What is done to commands and their files, and how it is judged.

A try is a fault that strikes a command in the middle, and the same command again, undisturbed. Then the
folder is to be what an undisturbed run leaves: nothing lost, nothing else, nothing too much, times aside. And
the command that was struck, if it lived to say anything, is to have said so in words.
"""

import random
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.hub import MODEL, FailingHub
from tests.faults.injection import Fault
from tests.faults.victims import Ending, Victims
from tests.faults.workloads import BY_NAME, FROM_HUB, NETWORK, Workload, copied, differences, state

_PLAIN = tuple(name for name in BY_NAME if name not in (NETWORK, FROM_HUB))
_OF_PYTHON = tuple(name for name in _PLAIN if name != "leaderboard commit")
"""Of whose files git writes none: its lock stays where git itself is killed, and it says how to remove it."""
_UNEXPECTED = re.compile(r"Traceback|unexpected \w+Error|Fatal Python error|panicked")


class Reference(NamedTuple):
    """A command undisturbed."""

    template: Path
    """The folder that it begins with."""
    before: dict[str, object]
    after: dict[str, object]
    ending: Ending

    @property
    def num_bytes(self) -> int:
        """Size of the largest file that it leaves."""
        return max(len(data) for data in self.after.values() if isinstance(data, bytes))


class Outcome(NamedTuple):
    """What came of one try."""

    struck: bool
    """Whether the command felt it."""
    findings: tuple[str, ...]


class Laboratory:
    """Commands, the folders they begin with, and what they leave undisturbed."""

    def __init__(self, victims: Victims, hub: FailingHub, folder: Path) -> None:
        self.victims, self.hub, self.folder = victims, hub, folder
        self._references: dict[str, Reference] = {}

    def reference(self, workload: Workload) -> Reference:
        """The command undisturbed; run twice, since the second time counts no compiling of kernels."""
        if workload.name not in self._references:
            template = self.folder / workload.name.replace(" ", "-")
            template.mkdir()
            workload.prepare(template, self.victims)
            for _ in range(2):
                self.hub.recover()
                folder = copied(template, self.folder / "undisturbed")
                ending = self.victims.run(workload.words, folder)
                assert ending.code == 0, (workload.name, ending)
            self._references[workload.name] = Reference(template, state(template), state(folder), ending)
            self.hub.num_requests_of_run = self.hub.num_requests
        return self._references[workload.name]

    def copy(self, workload: Workload) -> Path:
        """A folder to begin with."""
        return copied(self.reference(workload).template, self.folder / "struck")

    def again(self, workload: Workload, folder: Path) -> list[str]:
        """The command once more, undisturbed, and what is wrong with what it leaves."""
        ending = self.victims.run(workload.words, folder)
        findings = [f"the rerun: {line}" for line in complaints(ending)]
        if ending.code != 0:
            findings.append(f"the rerun ends with {ending.code}: {last_line(ending)}")
        return findings + differences(self.reference(workload).after, state(folder))


def last_line(ending: Ending) -> str:
    """The last thing that a command said."""
    return (ending.said.splitlines() or ["nothing"])[-1][:300]


def complaints(ending: Ending) -> list[str]:
    """What a command must not do, whatever happens to it: hang, end wordlessly or with a traceback."""
    if ending.code is None:
        return ["hangs"]
    match = _UNEXPECTED.search(ending.said)
    findings = [f"says {match.group()}: {last_line(ending)}"] if match else []
    if ending.code > 0 and not ending.said.strip():
        findings.append(f"ends with {ending.code} and without a word")
    if ending.code == 99:
        findings.append("ends before it begins")
    return findings


Try = Callable[[Laboratory, Workload, random.Random], Outcome]


class Attack(NamedTuple):
    """A way to strike."""

    name: str
    text: str
    """What it does, for readers."""
    strike: Try
    workloads: Sequence[str]
    num_tries: int
    """Of each command in the long form; of slow ones a fifth."""


def _struck_by(draw: Callable[[Reference, random.Random], Fault], *, unharmed: bool = False) -> Try:
    """The try of a fault; ``unharmed``: nothing may have changed before the rerun."""

    def strike(laboratory: Laboratory, workload: Workload, dice: random.Random) -> Outcome:
        reference = laboratory.reference(workload)
        folder = laboratory.copy(workload)
        fault = draw(reference, dice)
        ending = laboratory.victims.run(workload.words, folder, fault)
        findings = [f"{fault.kind} {fault.at}: {line}" for line in complaints(ending)]
        if unharmed:
            findings += differences(reference.before, state(folder))
        again = laboratory.again(workload, folder)
        findings += [f"{fault.kind} {fault.at}: {line}" for line in again]
        return Outcome(ending.code != 0, tuple(findings))

    return strike


def _kill(reference: Reference, dice: random.Random) -> Fault:
    """Half of them where something changes on disk."""
    if dice.random() < 0.5 and reference.ending.num_changes:
        return Fault("kill at change", dice.randint(1, reference.ending.num_changes))
    return Fault("kill at operation", dice.randint(1, reference.ending.num_operations))


def _kill_by_clock(reference: Reference, dice: random.Random) -> Fault:
    return Fault("kill at millisecond", dice.randint(1, 1500))


def _torn(reference: Reference, dice: random.Random) -> Fault:
    return Fault("kill at byte", dice.randint(0, dice.choice([300, 3000, reference.num_bytes])))


def _full_while_writing(reference: Reference, dice: random.Random) -> Fault:
    return Fault("full at byte", dice.randint(0, dice.choice([300, 3000, reference.num_bytes])))


def _full_before(reference: Reference, dice: random.Random) -> Fault:
    """The last third of the changes are renamings and removals, which need no room."""
    return Fault("full at change", dice.randint(1, max(1, 2 * reference.ending.num_changes // 3)))


def _memory(reference: Reference, dice: random.Random) -> Fault:
    return Fault("out of memory", dice.choice([0, 1, 2, 4, 8, 16, 32, 64, 128]))


def _always(kind: str) -> Callable[[Reference, random.Random], Fault]:
    return lambda reference, dice: Fault(kind)


def _writers(num_writers: int) -> Try:
    def strike(laboratory: Laboratory, workload: Workload, dice: random.Random) -> Outcome:
        folder = laboratory.copy(workload)
        endings = laboratory.victims.run_at_once([workload.words] * num_writers, folder)
        findings = [line for ending in endings for line in complaints(ending)]
        refused = any(ending.code != 0 for ending in endings)
        findings += [f"none of them gets it done: {last_line(endings[0])}"] * all(
            ending.code != 0 for ending in endings
        )
        return Outcome(refused, (*findings, *laboratory.again(workload, folder)))

    return strike


def damaged(data: bytes, dice: random.Random) -> bytes:
    """Bytes as a bad disk, a bad copy or a crash leaves them."""
    position = dice.randrange(max(1, len(data)))
    length = dice.choice([1, 1, 16, 512])
    ways: list[Callable[[], bytes]] = [
        lambda: data[:position],
        lambda: data[:position] + bytes(length) + data[position + length :],
        lambda: data[:position] + bytes([data[position] ^ 1 << dice.randrange(8)]) + data[position + 1 :],
        lambda: data + dice.randbytes(length),
        lambda: b"",
    ]
    return dice.choice(ways)()


def _corrupt_cell(laboratory: Laboratory, workload: Workload, dice: random.Random) -> Outcome:
    """A finished cell's file is damaged: it is moved aside, and the cell computed again."""
    folder = laboratory.copy(workload)
    laboratory.victims.run(workload.words, folder)
    before = laboratory.reference(workload).before
    path = dice.choice([path for path in _files(folder, "runs/**/*.*") if not _is_in(before, folder, path)])
    path.write_bytes(damaged(path.read_bytes(), dice))
    findings = laboratory.again(workload, folder)
    aside = [line for line in findings if line.startswith("stray ") and ".damaged" in line]
    is_seen = bool(aside)
    return Outcome(is_seen, tuple(f"{path.name}: {line}" for line in findings if line not in aside))


def _is_in(before: dict[str, object], folder: Path, path: Path) -> bool:
    return path.relative_to(folder).as_posix() in before


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def _corrupt_input(pattern: str) -> Try:
    """What is scored, or what scores, is damaged and later put in order again."""

    def strike(laboratory: Laboratory, workload: Workload, dice: random.Random) -> Outcome:
        reference = laboratory.reference(workload)
        folder = laboratory.copy(workload)
        path = dice.choice(_files(folder, pattern))
        whole = path.read_bytes()
        path.write_bytes(damaged(whole, dice))
        ending = laboratory.victims.run(workload.words, folder)
        findings = complaints(ending)
        if ending.code and path.name not in ending.said and path.parent.name not in ending.said:
            findings.append(f"names neither {path.name} nor its folder: {last_line(ending)}")
        # Other bytes are another input, with cells of its own: only what has the right name must be right.
        now = state(folder)
        findings += [
            f"wrong {name}"
            for name in sorted(reference.after.keys() & now.keys() - reference.before.keys())
            if now[name] != reference.after[name]
        ]
        path.write_bytes(whole)
        findings += [line for line in laboratory.again(workload, folder) if not line.startswith("stray ")]
        return Outcome(ending.code != 0, tuple(f"{path.name}: {line}" for line in findings))

    return strike


def _failing_hub(ways: Sequence[str]) -> Try:
    """A request fails, and the next ones too or not; later the hub is well again."""

    def strike(laboratory: Laboratory, workload: Workload, dice: random.Random) -> Outcome:
        reference, folder = laboratory.reference(workload), laboratory.copy(workload)
        first = dice.randint(1, laboratory.hub.num_requests_of_run)
        laboratory.hub.strike(way := dice.choice(ways), first, dice.choice([first, first + 2, 10**9]))
        ending = laboratory.victims.run(workload.words, folder)
        findings = complaints(ending)
        if ending.code and MODEL not in ending.said:
            findings.append(f"does not name {MODEL}: {last_line(ending)}")
        now = state(folder)
        wrong = [name for name in now if name not in reference.after or now[name] != reference.after[name]]
        findings += [f"wrong {name}" for name in wrong]
        laboratory.hub.recover()
        findings += laboratory.again(workload, folder)
        return Outcome(ending.code != 0, tuple(f"{way} at request {first}: {line}" for line in findings))

    return strike


ATTACKS = (
    Attack(
        "kill -9",
        "at an operation on a file or at a change on disk",
        _struck_by(_kill),
        (*_PLAIN, NETWORK),
        27,
    ),
    Attack(
        "killed by the clock", "at a millisecond of processor time", _struck_by(_kill_by_clock), _PLAIN, 4
    ),
    Attack("torn write", "killed in the middle of a write, at any byte", _struck_by(_torn), _OF_PYTHON, 8),
    Attack(
        "disk full, writing", "no byte more from any byte on", _struck_by(_full_while_writing), _OF_PYTHON, 5
    ),
    Attack("disk full, creating", "no new file from any change on", _struck_by(_full_before), _PLAIN, 5),
    Attack(
        "read-only", "nothing can be changed", _struck_by(_always("read-only"), unharmed=True), _OF_PYTHON, 1
    ),
    Attack("out of memory", "0 to 128 MB more than at the start", _struck_by(_memory), (*_PLAIN, NETWORK), 5),
    Attack(
        "clock backwards", "a second earlier at each look", _struck_by(_always("clock backwards")), _PLAIN, 1
    ),
    Attack("clock stopped", "the same moment at each look", _struck_by(_always("clock stopped")), _PLAIN, 1),
    Attack("two writers", "the same command twice at once", _writers(2), _PLAIN, 3),
    Attack("five writers", "the same command five times at once", _writers(5), _PLAIN, 2),
    Attack(
        "corrupt cell",
        "a finished cell's file is cut, zeroed, flipped or longer",
        _corrupt_cell,
        ("run", "probe train"),
        15,
    ),
    Attack(
        "corrupt corpus",
        "a stored corpus's file, likewise",
        _corrupt_input("corpora/*/*"),
        ("leaderboard score", "leaderboard publish"),
        10,
    ),
    Attack(
        "corrupt input",
        "the file that is read, likewise",
        _corrupt_input("texts.jsonl"),
        ("run", "corpora import"),
        10,
    ),
    Attack("corrupt weights", "a checkpoint, likewise", _corrupt_input("*.pth"), (NETWORK,), 20),
    Attack(
        "hub fails",
        "500, closed connections, a login page at any request",
        _failing_hub(["error 500", "connection closed", "login page"]),
        (FROM_HUB,),
        50,
    ),
    Attack(
        "truncated download", "half of an answer, at any request", _failing_hub(["cut off"]), (FROM_HUB,), 25
    ),
)
"""All of them; a row each in the table."""


class Tally(NamedTuple):
    """What came of an attack on a command."""

    attack: str
    workload: str
    num_tries: int
    num_struck: int
    findings: tuple[str, ...]


def tallies(
    laboratory: Laboratory,
    *,
    share: float,
    finished: Collection[tuple[str, str]] = (),
    seed: int = 20261130,
) -> Iterator[Tally]:
    """Every attack on every command that it is for.

    Args:
        laboratory: where.
        share: of the tries of the long form; at least one of each.
        finished: attacks and commands that are passed over.
        seed: of the moments; the same seed strikes at the same ones.
    """
    for attack in ATTACKS:
        for name in attack.workloads:
            if (attack.name, name) in finished:
                continue
            workload = BY_NAME[name]
            num_tries = max(1, round(share * attack.num_tries / (5 if workload.is_slow else 1)))
            yield tally(laboratory, attack, workload, num_tries, seed)


def tally(laboratory: Laboratory, attack: Attack, workload: Workload, num_tries: int, seed: int) -> Tally:
    """So many tries of an attack on a command."""
    dice = random.Random(f"{seed} {attack.name} {workload.name}")
    outcomes = [attack.strike(laboratory, workload, dice) for _ in range(num_tries)]
    findings = tuple(line for outcome in outcomes for line in outcome.findings)
    return Tally(attack.name, workload.name, num_tries, sum(outcome.struck for outcome in outcomes), findings)
