"""gan COMMAND key=value ...: dispatch, help, completion, exit codes. Imports nothing heavy."""

from __future__ import annotations

import _thread
import importlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from gan_cli import console
from gan_cli.errors import two_lines
from gan_cli.hangup import HANGUP, discard, heard, let_go_of_a_terminal_that_is_gone
from gan_cli.shell.codes import DONE, FAILED, INTERRUPTED, WRONG
from gan_cli.shell.table import COMMANDS, Command

ENDS = (signal.SIGTERM, HANGUP)  # besides Ctrl-C
SOON = 0.01  # seconds until an interrupt that could not be raised is tried again
LONG = 10.0  # seconds that an import may take until it is interrupted after all
USAGE = """\
gan COMMAND key=value ...

{commands}

{examples}

gan COMMAND --help lists the choices; 'eval "$(gan completion bash)"' turns on completion (zsh and fish too).
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code: 0 done, 1 the work failed, 2 wrong request, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # a host keeps its streams as they are
        console.show_all()
    try:
        with _interrupted_in_order(alone=argv is None) as interrupted:
            return _dispatch(words, interrupted)
    except KeyboardInterrupt:  # while the end of the command was being reported
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        discard(sys.stdout.fileno())
        return DONE
    except OSError as error:  # of what is printed here: help, a version; commands have errors of their own
        from gan_cli.store.outputs import full

        discard(sys.stdout.fileno())
        _tell(f"gan: {full(error)}")
        return WRONG
    except SystemExit as end:  # of Hydra, when it has shown what a flag asked for
        return WRONG if end.code else DONE


@contextmanager
def _interrupted_in_order(alone: bool) -> Iterator[threading.Event]:
    """SIGTERM and a closed terminal interrupt as Ctrl-C does, but only once: later ones find a program that is already
    ending.

    A process that is `alone`, that is, runs this command only, ignores them afterwards too, and Ctrl-C then ends it
    without a traceback. An interrupt that arrives within an import, which may swallow it or end the process, or where
    Python cannot raise it, as in callbacks of its own import system, comes again a moment later.

    Yields:
        Set once one of them has come, whatever became of the interrupt.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return

    waits_until: list[float] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if number == HANGUP:
            let_go_of_a_terminal_that_is_gone()
        if number in ENDS:
            _end_once()
        interrupted.set()
        waits_until.append(time.monotonic() + LONG)
        if _lost(frame, hook) and time.monotonic() < waits_until[0]:
            again()
        else:
            raise KeyboardInterrupt

    def again() -> None:
        signal.signal(signal.SIGTERM, interrupt)  # SIGINT may be ignored, as in the background of a script
        later = threading.Timer(SOON, _thread.interrupt_main, [signal.SIGTERM])  # this call can raise nothing
        later.daemon = True
        later.start()

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again()
        else:
            usual(unraisable)

    usual, sys.unraisablehook = sys.unraisablehook, hook
    before = {number: signal.signal(number, interrupt) for number in heard(*ENDS)}
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not where a shell or a host has its own way
    if ours:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupted
    finally:
        sys.unraisablehook = usual
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if alone else handler)
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_DFL if alone else signal.default_int_handler)


def _end_once() -> None:
    """What else would interrupt finds a program that is ending."""
    for number in heard(*ENDS):
        signal.signal(number, signal.SIG_IGN)


def _lost(frame: FrameType | None, hook: Callable[[sys.UnraisableHookArgs], None]) -> bool:
    """Whether an interrupt that is raised there may be lost: within an import, or what is told of one that was."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib") or frame.f_code is hook.__code__:
            return True
        frame = frame.f_back
    return False


def _dispatch(words: list[str], interrupted: threading.Event) -> int:
    if words[:1] in (["-h"], ["--help"], ["help"]) and words[1:2] and words[1] in COMMANDS:
        words = [words[1], "--help"]
    if not words or words[0] in ("-h", "--help", "help"):
        commands = "\n".join(f"  {row.name:<8} {row.says}" for row in COMMANDS.values())
        examples = "\n".join(f"  {line}" for row in COMMANDS.values() for line in row.examples)
        print(USAGE.format(commands=commands, examples=examples), end="", flush=True)
        return DONE
    if words[0] == "--version":
        from gan_cli import __version__

        print(f"gan {__version__}", flush=True)
        return DONE
    if words[0] in ("completion", "-sc"):
        from gan_cli.shell.completion import complete

        return complete(words[1:])
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        from gan_cli.config.errors import did_you_mean

        hint = did_you_mean(name, COMMANDS) or f"the commands are {', '.join(COMMANDS)}"
        _tell(f"gan: no command named '{name}'\n  {hint}")
        return WRONG
    command = COMMANDS[name]
    if {"-h", "--help"} & set(rest) or (rest == ["help"] and not os.path.exists("help")):
        from gan_cli.shell.help import show

        show(command, rest)
        return DONE
    return run(command, rest, interrupted)


def _tell(problem: str) -> None:
    """Prints a problem on standard error. Only a newline and two spaces separate the lines of our messages: a newline
    inside a name or a value does not start another line."""
    from gan_cli.console import printable

    try:
        print(printable(re.sub(r"\n(?!  )", r"\\n", problem)), file=sys.stderr)
    except OSError:  # nobody can be told
        discard(sys.stderr.fileno())


def run(command: Command, words: list[str], interrupted: threading.Event) -> int:
    """Runs one command; its errors take a line or two, with the traceback if HYDRA_FULL_ERROR=1."""
    from gan_cli.errors import Interrupted, Refused, RunFailed, raised_at

    if sys.stderr is None or not sys.stderr.isatty():  # torchvision's downloads too tell a pipe a line a minute
        os.environ.setdefault("TQDM_MININTERVAL", "60")
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    try:
        importlib.import_module(command.home).main(_prepare(command, words))
        return _written(command)
    except Interrupted as error:
        if threading.current_thread() is threading.main_thread():
            _end_once()  # training took the first; a later one must not cut this off
        return _stopped(command, str(error))
    except KeyboardInterrupt:
        return _stopped(command, "interrupted")
    except BrokenPipeError:
        raise
    except Exception as error:
        if interrupted.is_set():  # an import swallowed the interrupt, and failed later
            return _stopped(command, "interrupted")
        if wants_traceback:
            raise
        asked = isinstance(error, Refused)
        problems = error.problems if isinstance(error, Refused) else (str(error),)
        kind = "" if asked or isinstance(error, RunFailed) else f"{type(error).__name__}: "
        for problem in problems:
            _tell(f"gan {command.name}: {kind}{problem}")
        if kind:
            place = raised_at(error)
            _tell(f"  {f'{place}; ' if place else ''}HYDRA_FULL_ERROR=1 shows the traceback")
        return WRONG if asked else FAILED


def _stopped(command: Command, how: str) -> int:
    _tell("")  # after the `^C` that a terminal shows
    _tell(f"gan {command.name}: {how}")
    return INTERRUPTED


def _written(command: Command) -> int:
    """The exit code of a command that did its work: what could not be printed is missed where it was the answer."""
    from gan_cli.console import lost
    from gan_cli.store.outputs import full

    error = lost()
    if error is None:
        return DONE
    _tell(f"gan {command.name}: {full(error)}")
    return DONE if command.configured else WRONG  # where there are settings, what was computed is in files


def _prepare(command: Command, words: Sequence[str]) -> list[str]:
    """Turns a plain word into the setting that it means, such as `checkpoint=...`, and puts flags last."""
    from gan_cli.config.words import at_home, divide, quote, strings, text
    from gan_cli.errors import ConfigError

    _check_answer(strings(words))
    if not command.configured:
        return [text(word) for word in words]
    others, flags = divide(["json=-" if word == "--json" else word for word in words], command.name)
    kept: list[str] = []
    for word in others:
        away = word.startswith("~") and not at_home(word)  # Hydra's word for removing a choice
        plain = ("=" not in word and not away) or os.path.exists(word)
        if plain and not command.setting:
            raise ConfigError(two_lines(f"cannot read '{word}'", "write settings as key=value"))
        kept.append(f"{command.setting}={quote(text(word))}" if plain else word)
    if command.setting:
        _check_one_run(command, kept, flags)
    return [*kept, *flags]


def _check_answer(words: Sequence[str]) -> None:
    """Raises NotWritable where json= names a folder: better now than when the work is done."""
    from gan_cli.config.words import text
    from gan_cli.errors import NotWritable

    for word in words:
        key, _, value = word.partition("=")
        if key == "json" and os.path.isdir(text(value)):
            raise NotWritable(
                two_lines(f"json={text(value)} is a folder", f"json={os.path.join(text(value), 'x.json')}")
            )


def _check_one_run(command: Command, settings: Sequence[str], flags: Sequence[str]) -> None:
    """Raises ConfigError when there is no run, or more than one (Hydra would take the last)."""
    from gan_cli.config.words import SHOWS, text
    from gan_cli.errors import ConfigError

    runs = [text(word.partition("=")[2]) for word in settings if word.startswith(f"{command.setting}=")]
    if len(runs) > 1:
        what = command.setting if command.optional else "run"
        raise ConfigError(
            two_lines(f"more than one {what}: {', '.join(runs)}", f"start gan {command.name} once for each")
        )
    if not runs and not command.optional and not SHOWS & {*flags}:
        raise ConfigError(two_lines("which run?", f"gan {command.name} outputs/train/<run>, or a checkpoint (.pt)"))
