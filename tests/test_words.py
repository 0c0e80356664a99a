"""One word, one meaning: what is typed means what a person would mean by it, or is refused in two lines."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from conftest import Inside, checked, words
from gan_cli import evaluate, sample, train
from gan_cli.config import plain_yaml
from gan_cli.config.compose import compose
from gan_cli.config.saved import change, read
from gan_cli.config.words import divide, quote, readable, text
from gan_cli.console import printable
from gan_cli.errors import ConfigError
from gan_cli.shell.completion import BASH, candidates
from gan_cli.store import summary

LETTERS = [*"\\\\'\"${}a:,=\n\t []~é\udce9", "${", "x}", "\\$"]


def test_a_quoted_value_is_taken_literally() -> None:
    """Whatever characters it has: Hydra's grammar with OmegaConf's, and `text`, undo `quote`."""
    draw = random.Random(0)
    for _ in range(300):
        value = "".join(draw.choices(LETTERS, k=draw.randrange(9)))
        assert change({"name": None}, [f"name={quote(value)}"]) == {"name": value}
        assert text(quote(value)) == value


@pytest.mark.parametrize("value", ["2024", "1e5", "007", "true", "False", "inf", "nan", "-1", "1_000", "0x10", ".5"])
def test_text_that_looks_like_a_number_is_text(value: str) -> None:
    typed = [f"{key}={value}" for key in ("name", "init_from", "dataset.root", "evaluation.cache", "hydra.run.dir")]
    composed = compose("train", ["dataset=folder", *typed])
    assert (composed.config["name"], composed.config["dataset"]["root"]) == (value, value)
    assert (composed.config["init_from"], composed.config["evaluation"]["cache"]) == (value, value)
    assert composed.folder == Path(value)
    evaluated = compose("eval", [f"{key}={value}" for key in ("checkpoint", "reference", "root", "json", "weights")])
    assert {evaluated.config[key] for key in ("checkpoint", "reference", "root", "json", "weights")} == {value}
    drawn = compose("sample", [f"checkpoint={value}", f"out={value}", "mode=project", f"mode.image={value}"])
    assert (drawn.config["out"], drawn.config["mode"]["image"]) == (value, value)
    assert change({"name": None}, [f"name={value}"]) == {"name": value}


def test_tags_are_text_whatever_they_look_like() -> None:
    for typed, tags in (
        ("[]", []),
        ("[a, first try ,2024,true]", ["a", "first try", "2024", "true"]),
        ("""["it's, so", 'b\\'c', é (1), ~/x, [a]]""", ["it's, so", "b'c", "é (1)", "~/x", "[a]"]),
    ):
        assert compose("train", [f"tags={typed}"]).config["tags"] == tags
        assert change({"tags": ["x"]}, [f"tags={typed}"]) == {"tags": tags}
        assert change({}, [f"+tags={typed}"]) == {"tags": tags}  # a run from before there were any
    for wrong in ("a", "3"):
        with pytest.raises(ConfigError, match=r"a list: \[a,b\]"):
            checked([f"tags={wrong}"])


@pytest.mark.parametrize("text", ["${x}", "a${x}", "\\${x}", "\\\\${x}", "${", "$${x}${y}", "${oc.env:HOME}", "\\$x"])
def test_a_saved_config_keeps_what_would_be_evaluated(text: str) -> None:
    config = {"name": text, "tags": [text, "x"], "dataset": {"root": text}}
    written = plain_yaml.written(config)
    assert read(written.encode(), "here") == config
    assert change(config, []) == config
    assert change({**config, "seed": 0}, [f"name={quote(text + 'y')}", "seed=1"])["name"] == text + "y"
    resolved = OmegaConf.to_container(OmegaConf.create(written), resolve=True)
    assert resolved == config  # so would OmegaConf read it


def test_an_interpolation_in_a_saved_config_is_refused() -> None:
    for line in ("name: ${x}", "name: \\\\${x}", "tags: [a, '${x}']", "${x}: 3"):
        with pytest.raises(ConfigError, match="holds an interpolation"):
            read(line.encode(), "there")


def test_a_run_of_such_a_name_is_sampled_and_goes_on(here: Path) -> None:
    run = train(f"name={quote('${x}')}", "tags=[${y}]", *words(steps=2)).folder
    assert sample(run, "n=2").shape[0] == 2
    assert train(f"resume={run}", "trainer.max_steps=3").step == 3
    saved = read((run / "config.yaml").read_bytes(), run)
    assert (saved["name"], saved["tags"]) == ("${x}", ["${y}"])
    assert summary.of(str(run)).tags == ("${y}",)


def test_a_backslash_before_the_closing_quote_ends_no_list_late() -> None:
    """Two of them stand for one, and the quote closes."""
    for texts in (["a\\", "7"], ["a\\\\", "7", "b"], ["it's", "7"], ["\\'", ",", "7"]):
        word = f"tags=[{','.join(quote(each) if not each.isdigit() else each for each in texts)}]"
        assert compose("train", [word]).config["tags"] == texts


def test_null_removes_a_text_and_quotes_keep_it() -> None:
    assert compose("train", ["name=null"]).config["name"] is None
    assert compose("train", ["name='null'"]).config["name"] == "null"


def test_each_value_of_a_sweep_is_read_alike() -> None:
    assert readable("name=1,true,x") == "name='1','true',x"
    assert readable("experiment=demo,null") == "experiment=demo,[]"
    assert readable("penalty=[r1],null") == "penalty=[r1],[]"
    assert readable("seed=0,1") == "seed=0,1"


def test_what_the_grammar_cannot_read_is_text_in_sweeps_and_lists_too() -> None:
    """As it is where it is the only value."""
    assert readable("name=é,b (1),c") == "name='é','b (1)',c"
    assert readable("classes=[café,it's,3]") == "classes=['café','it\\'s',3]"
    assert compose("sample", ["checkpoint=x", "classes=[été, 0..3]"]).config["classes"] == ["été", "0..3"]
    assert readable("dataset.root=é,[ü,x]") == "dataset.root='é',['ü',x]"
    assert readable("name=choice(é,b)") == "name=choice('é',b)"
    assert readable("name=sort(é,ü,reverse=true)") == "name=sort('é','ü',reverse=true)"
    assert readable("name=a (é)") == "name='a (é)'"
    for broken in ("name=é,", "seed=[1,,é]", "seed=[é", "classes=[{é]"):
        assert readable(broken) == broken


def test_the_home_folder_stands_for_a_leading_tilde(monkeypatch: pytest.MonkeyPatch, gan_here: Inside) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert compose("sample", ["checkpoint=~/run", "out=~/x.png"]).config["out"] == "/home/me/x.png"
    assert compose("eval", ["checkpoint=~", "json=~/a b.json"]).config["json"] == "/home/me/a b.json"
    assert readable("hydra.searchpath=[~/a,~/b]") == "hydra.searchpath=['/home/me/a','/home/me/b']"
    assert (text("~/run"), text("'~/run'"), text("~x")) == ("/home/me/run", "~/run", "~x")
    for command in (["sample", "~/run"], ["eval", "~/run"], ["train", "resume=~/run"], ["train", "repeat=~/run"]):
        assert "/home/me/run " in gan_here(*command).stderr
    assert "/home/me/run " in gan_here("compare", "~/run", "~/other").stderr


def test_a_list_of_one_is_the_one_where_there_is_one(here: Path) -> None:
    composed = compose("train", ["model=[mlp]", "loss=[ hinge ]", "dataset=[ring]"])
    assert [composed.choices[group] for group in ("model", "loss", "dataset")] == ["mlp", "hinge", "ring"]
    assert composed.folder.name.endswith("-mlp-hinge-ring")


def test_images_that_are_named_as_a_data_set_are_told_apart(gan_here: Inside, here: Path) -> None:
    (here / "my cats").mkdir()
    for word in ("my cats", "./my cats", str(here / "my cats")):
        done = gan_here("train", f"dataset={word}")
        assert done.returncode == 2
        assert done.stderr.endswith(f'for images of your own: dataset=folder "dataset.root={word}"\n')
    assert "choices: " in gan_here("train", "dataset=my dogs").stderr


def test_nothing_chosen() -> None:
    nothing = ["experiment=null", "callback=null", "penalty=null", "augment=Null", "~auxiliary"]
    config = compose("train", ["experiment=demo", *nothing]).config
    assert (config["name"], config.get("callback", {})) == (None, {})
    assert config["penalty"] == config["augment"] == config["auxiliary"] == {}
    assert compose("eval", ["checkpoint=x", "preset=nvidia", "preset=null"]).config["n"] is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "loss=null"], "choices: dragan"),
        (["train", "model=mlp,null", "-m"], "choices: affine"),
        (["train", "~model"], "choices: affine"),
        (["train", "~seed"], "seed=..."),
        (["train", "dataset.root=[[[1]]]"], "dataset.root=[[[1]]] is not valid"),
        (["train", "penalty=true"], "no penalty named 'true'"),
        (["train", "dataset=-1"], "no dataset named '-1'"),
        (["train", "augment=[1,null]"], "no augment named 'null'"),
        (["train", "model=[mlp,dcgan]"], "there can be only one"),
        (["train", "model={a: 1}"], "model.NAME=VALUE"),
        (["train", "penalty=[[r1]]"], "choices: classification"),
        (["train", "dataset=_images"], "no dataset named '_images'"),
        (["train", "dataset=-images"], "celeba, china2flower"),
        (["train", "model=../loss/hinge"], "no model named"),
        (["train", "detector=classifier"], "gan eval RUN detector=classifier"),
        (["train", "+detector=classifier"], "gan eval RUN detector=classifier"),
        (["train", "search=gamma"], "gan search search=gamma"),
        (["sample", "x", "loss=hinge"], "gan train loss=hinge"),
        (
            ["train", "evaluation.detector=inception"],
            "evaluation.detector._target_=gan_cli.metrics.inception.Inception",
        ),
        (["train", "+foo=3"], "unknown setting 'foo'"),
        (["train", "++lr=3"], "unknown setting 'lr'"),
        (["train", "+model.widht=3"], "did you mean model.width?"),
        (["train", "+model.generator.widht=3"], "did you mean width?"),
        (["train", "+recipe.packs=3"], "did you mean recipe.pack?"),
        (["sample", "x", "+foo=3"], "unknown setting 'foo'"),
        (["eval", "x", "+detectr.x=3"], "did you mean detector?"),
        (["train", "epochs=200"], "trainer.max_epochs=200"),
        (["train", "trainer.epochs=200"], "trainer.max_epochs=200"),
        (["train", "+num_epochs=many"], "unknown setting 'num_epochs'"),
        (["train", "name=${x}"], "quote it: 'name='"),
        (["train", "name='a ${x}'"], "quote it: 'name='\"'\"'a \\${x}'\"'\"''"),
        (["train", "model=wgan_gp_resnet", "model.width=[8,16]"], "  it follows model.width: set that, or"),
        (["train", "optimizer.lr=${linear:1}"], "'${linear:START,END,IMAGES}'"),
        (["train", "--cfg=jobs"], "choices: job, hydra, all"),
        (["train", "--cfg"], "choices: job, hydra, all"),
        (["train", "--config-dir"], "write --config-dir VALUE"),
        (["train", "--resolve"], "write --cfg job --resolve"),
        (["train", "-sc"], "no flag '-sc'"),
        (["train", "-m", "--cfg", "job"], "leave --cfg out"),
        (["train", "--info", "--run"], "leave --info out"),
        (["sample", "x", "--out", "x.png"], "settings have no dashes: out=x.png"),
        (["sample", "x", "-n", "5"], "settings have no dashes: n=5"),
        (["eval", "x", "--batch-size=5"], "settings have no dashes: batch_size=5"),
        (["train", "resume=x", "--cfg", "job"], "does not go with resume="),
        (["train", "hydra/launcher=null"], "must be a string or a list"),
        (["train", "hydra.run.dir=/proc/x"], "/proc/x"),
        (["train", "name=" + "x" * 5000], "at most 200 bytes"),
        (["train", "x" * 5000], "cannot read 'xxx"),
        (["compare", "x" * 5000, "y"], "does not exist"),
        (["train", "name=a\0b"], "holds a NUL byte"),
        (["train", "seed=" + "[" * 3000], "cannot read"),
        (["train", "dataset.batch_size=${oc.env:NOWHERE}"], "set it, or give a default: '${oc.env:NAME,VALUE}'"),
        (["sample", "x", "hydra.run.dir=there"], "makes no folder of its own"),
        (["train", "hydra.run.dir=a\\${b}"], "cannot hold ${"),
        (["train", "--package", "x", "--cfg", "job"], "package 'x' not found"),
        (["train", "dataset.batch_size=???"], "dataset.batch_size is not set"),
    ],
    ids=lambda v: " ".join(v)[:60].replace("\0", "0") if isinstance(v, list) else "",
)
def test_what_cannot_be_meant_gets_two_lines(gan_here: Inside, here: Path, arguments: list[str], expected: str) -> None:
    done = gan_here(*arguments)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2, done.stderr
    assert "+detector" not in done.stderr
    assert "_images," not in done.stderr
    assert list(here.iterdir()) == []


def test_a_folder_that_is_a_file(gan_here: Inside, here: Path) -> None:
    (here / "afile").write_text("")
    done = gan_here("train", *words(), "hydra.run.dir=afile")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
    assert (here / "afile").read_text() == ""


def test_a_variable_that_is_read_may_be_added() -> None:
    added = ["+side=16", "dataset.resolution=${side}", "+model.wide=3", "model.generator.width=${..wide}"]
    config = compose("train", [*added, "+optimizer.amsgrad=true"]).config
    assert (config["dataset"]["resolution"], config["optimizer"]["amsgrad"]) == (16, True)
    assert config["model"]["generator"]["width"] == 3


@pytest.mark.parametrize("empty", ["", "''", '""', " "])
@pytest.mark.parametrize(
    "arguments",
    [
        ("train", *words(), "hydra.run.dir="),
        ("train", "resume="),
        ("eval", "photos", "reference="),
        ("eval", "photos", "reference=photos", "json="),
        ("sample", "run", "n=1", "out="),
        ("sample", "run", "source="),
        ("config", "out="),
        ("runs", "folder="),
        ("report", "run", "out="),
    ],
    ids=" ".join,
)
def test_a_name_that_is_empty_is_not_this_folder(
    gan_here: Inside, here: Path, arguments: tuple[str, ...], empty: str
) -> None:
    """As of an unset variable in a shell: nothing is read from here, and nothing is scattered here."""
    done = gan_here(*arguments[:-1], f"{arguments[-1]}{empty}")
    assert (done.returncode, len(done.stderr.splitlines()), os.listdir(here)) == (2, 2, [])
    assert f"{arguments[-1]} is empty" in done.stderr


@pytest.mark.parametrize("command", ["eval", "sample", "report", "compare", "logs", "show"])
def test_a_word_that_is_empty_is_no_run(gan_here: Inside, here: Path, command: str) -> None:
    done = gan_here(command, "")
    assert (done.returncode, len(done.stderr.splitlines()), os.listdir(here)) == (2, 2, [])
    assert "a word is empty" in done.stderr
    with pytest.raises(ConfigError, match="is empty\n  "):
        evaluate("", "detector=pixels")


def test_flags_and_their_values_are_words_of_their_own() -> None:
    assert divide(["seed=1", "--cfg=job", "name=x", "-m"][:3]) == (["seed=1", "name=x"], ["--cfg", "job"])
    assert divide(["--info", "model=mlp"]) == (["model=mlp"], ["--info"])
    assert divide(["-i", "plugins"]) == ([], ["-i", "plugins"])


def test_help_of_a_command(gan_here: Inside, here: Path) -> None:
    shown = gan_here("train", "--help").stdout
    for line in (["help", "train"], ["train", "help"], ["--help", "train"], ["train", "-h"]):
        done = gan_here(*line)
        assert (done.returncode, done.stdout) == (0, shown)
    (here / "help").mkdir()  # a run of that name
    assert "holds no checkpoint" in gan_here("sample", "help").stderr or gan_here("sample", "help").returncode == 2


def test_an_experiment_of_ones_own(gan_here: Inside, here: Path) -> None:
    """The file of docs/extending.md; every mistake by which it would change nothing is reported."""
    (here / "my_conf" / "experiment").mkdir(parents=True)
    file = here / "my_conf" / "experiment" / "mine.yaml"
    chosen = "defaults:\n  - override /model: mlp\n"
    body = "seed: 7\ntrainer: {max_steps: 2}\n"
    arguments = ("train", "--config-dir", "my_conf", "experiment=mine")
    refused = {
        body: "make '# @package _global_' the first line of its file, experiment/mine.yaml",
        chosen + body: "make '# @package _global_' the first line of its file, experiment/mine.yaml",
        "# @package _global_\nmodel: mlp\n": "[override /model: mlp]",
        "# @package _global_\ntrainr: {max_steps: 2}\n": "did you mean trainer?",
        "# @package _global_\nmodel: {widht: 2}\n": "did you mean model.width?",
        "# @package _global_\ndefaults: [override /model: mlpp]\n": "did you mean mlp?",
        "# @package _global_\nseed: [\n": "mine.yaml",
    }
    for content, remedy in refused.items():
        file.write_text(content)
        done = gan_here(*arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 2), done.stderr
        assert remedy in done.stderr
    page = (Path(__file__).resolve().parents[1] / "docs" / "extending.md").read_text()
    file.write_text(page.split("mine.yaml`:\n\n```yaml\n")[1].split("```")[0])
    done = gan_here(*arguments, "--cfg", "job")
    assert done.returncode == 0
    assert {"seed: 7", "  max_steps: 2000", "    weight: 0.5"} <= {*done.stdout.splitlines()}
    assert "gan_cli.networks.mlp.Generator" in done.stdout
    assert [path.name for path in here.iterdir()] == ["my_conf"]


def test_python_is_given_words(finished: Path) -> None:
    with pytest.raises(ConfigError, match="one by one"):
        train(["model=mlp"])  # type: ignore[arg-type]
    for function in (evaluate, sample):
        with pytest.raises(ConfigError, match="the source is a Tensor, not a path"):
            function(torch.zeros(2))  # type: ignore[arg-type]
    assert list(evaluate(finished, "detector=pixels", n=50, metrics="fid")) == ["fd_pixels"]


def test_completion_offers_what_can_come_next(here: Path) -> None:
    (here / "outputs" / "run").mkdir(parents=True)
    assert candidates("gan tr") == ["train"]
    assert candidates("gan train mo") == ["model="]
    assert {"mode=", "n=", "out="} <= {*candidates("gan sample ")}
    assert not {"loss=", "evaluation=", "checkpoint="} & {*candidates("gan sample "), *candidates("gan eval ")}
    assert candidates("gan sample outputs/run mode=w") == ["mode=walk"]
    assert candidates("gan sample outp") == ["outputs/"]
    assert candidates("gan train resume=outputs/") == ["resume=outputs/run/"]
    assert candidates("gan train 'penalty=[r1,r") == ["penalty=[r1,r2"]
    assert candidates("gan train penalty=[r1] penalty.") == [
        *("penalty.r1.weight=", "penalty.r1.interval=", "penalty.r1.share=")
    ]
    assert candidates("gan train trainer.max_s") == ["trainer.max_steps="]
    assert candidates("gan train --cfg ") == ["job", "hydra", "all"]
    assert not [word for word in candidates("gan train dataset=") if "=_" in word]
    assert candidates("gan nothing x") == candidates("gan compare ") == candidates("") == []


def test_completion_in_bash() -> None:
    script = (
        f"gan() {{ printf 'loss=wgan\\nloss=wgan_gp\\n'; }}; {BASH}\nCOMP_LINE='gan train loss=w' COMP_POINT=16\n_gan"
    )
    for breaks, expected in ((" =:", "wgan wgan_gp"), (" ", "loss=wgan loss=wgan_gp")):
        lines = f"COMP_WORDBREAKS='{breaks}'\n{script}\necho \"${{COMPREPLY[*]}}\""
        assert subprocess.run(["bash", "-c", lines], capture_output=True, text=True).stdout == f"{expected}\n"


def test_nothing_that_a_terminal_obeys_is_printed(gan_here: Inside, here: Path) -> None:
    nasty = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202eevil\r"
    assert printable(f"a\tb\n{nasty}é中") == "a\tb\n\\x1b]0;owned\\x07\\x1b[2J\\x9b1m\\u202eevil\\ré中"
    (here / nasty).mkdir()
    for arguments in (
        ("train", *words(), f"loss._target_=gan_cli.losses.{nasty}"),
        ("train", *words(), f"hydra.run.dir={quote(nasty)}", "trainer.max_steps=1"),
        ("train", *words(), "dataset=folder", f"dataset.root={quote(nasty)}"),
        ("train", nasty),
        ("sample", nasty),
        (nasty,),
        ("compare", nasty, nasty),
    ):
        done = gan_here(*arguments)
        assert not {*"\x1b\x07\x9b\u202e\r"} & {*done.stdout, *done.stderr}
    shown = gan_here("train", "--cfg", "job", "name=\u202eabc")
    assert (shown.returncode, "\\u202eabc" in shown.stdout) == (0, True)
    log = next(here.rglob("train.log")).read_text()
    assert "\\x1b" in log
    assert not {*"\x1b\x07\x9b\u202e\r"} & {*log}


def test_a_newline_in_a_name_makes_no_line_of_ours(gan_here: Inside) -> None:
    assert len(gan_here("train", "dataset=a\nb\nc").stderr.splitlines()) == 2
