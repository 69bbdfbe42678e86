"""How the benchmarks measure, and the step that one of them takes."""

import argparse
import inspect
import json
import time

import numpy as np
import pytest

from benchmarks import measuring, training_step


def sleep(seconds, megabytes=1):
    """A function to time; its first call takes three times as long."""
    kept = np.ones(megabytes * 2**20, np.uint8)
    calls = []

    def run():
        calls.append(kept[0])
        time.sleep(seconds * (3 if len(calls) == 1 else 1))

    run.facts = {"gigaflops": 2.0}
    return run


def fail():
    raise ValueError("no such case")


@pytest.mark.parametrize("together", [True, False])
def test_medians_peaks_and_starts(together):
    cases = {
        "short": {"seconds": 0.02},
        "long": {"seconds": 0.06, "megabytes": 200},
    }
    found = measuring.measure(sleep, cases, repeats=3, together=together)
    for name, case in cases.items():
        one = found[name]
        assert len(one["all"]) == 3 and one["gigaflops"] == 2.0
        assert one["seconds"] == sorted(one["all"])[1] >= case["seconds"]
        assert one["first_call_seconds"] >= 3 * case["seconds"]
        assert one["start_seconds"] > one["first_call_seconds"]
        assert one["cpu_seconds"] < one["seconds"]
    assert found["long"]["gigabytes"] - found["short"]["gigabytes"] > 0.15


def test_a_case_that_fails_is_named():
    with pytest.raises(RuntimeError, match="The case 'bad' failed"):
        measuring.measure(fail, {"bad": {}}, repeats=1)


def test_a_result_names_the_machine(tmp_path, capsys):
    path = tmp_path / "sub" / "found.json"
    measuring.write_json(str(path), {"cases": {}})
    machine = json.loads(path.read_text())["machine"]
    assert machine["cores"] > 0 and "tensorflow" in machine["versions"]
    measuring.print_table(["case", "s"], [["a", 0.12345], ["b", 2]])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "| case | s |" and printed[2:] == [
        "| a | 0.123 |",
        "| b | 2 |",
    ]


def test_a_step_of_each_method_is_found():
    for method in training_step.METHODS:
        assert training_step._find(method).__name__ == method


def test_a_batch_has_to_divide_over_the_replicas(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["training_step", "--batch=2", "--replicas=4"])
    with pytest.raises(SystemExit):
        training_step.main()
    assert "--batch 2 is not divisible by --replicas 4" in capsys.readouterr().err


def test_cases_are_named_by_what_tells_them_apart():
    axes = {name: [default] for name, (_, default) in training_step.AXES.items()}
    flags = argparse.Namespace(jit_compile=False, **axes)
    assert list(training_step.combinations(flags)) == ["PseudoSeg"]
    flags.method, flags.crop = ["PseudoSeg", "U2PL"], [129, 257]
    cases = training_step.combinations(flags)
    assert list(cases) == [
        "PseudoSeg, crop 129",
        "PseudoSeg, crop 257",
        "U2PL, crop 129",
        "U2PL, crop 257",
    ]
    assert cases["U2PL, crop 257"] == {
        **{name: default for name, (_, default) in training_step.AXES.items()},
        **{"method": "U2PL", "crop": 257, "jit_compile": False},
    }
    inspect.signature(training_step.make_step).bind(**cases["U2PL, crop 257"])


@pytest.mark.parametrize("replicas", [1, 2])
def test_the_step_that_is_timed_learns(replicas):
    case = ("Supervised", "resnet_v1_18_quarter_beta", 33, 3, 2, "float32", False)
    run = training_step.make_step(*case, replicas=replicas)
    assert run.facts["gigaflops"] > 0.05
    losses = [run() for _ in range(4)]
    assert np.all(np.isfinite(losses)) and len(set(losses)) == 4
