"""Training in several processes on 127.0.0.1. It needs JAX: `make test-slow` runs it, `make test` does not."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from conftest import PROJECT, check_sentence

EPOCHS = 8
SETTINGS = {"PNEUMONIA_DATA": "phantoms", "JAX_PLATFORMS": "cpu", "SEED": "0", "QUICK": "0"}
SETTINGS["JAX_COMPILATION_CACHE_DIR"] = str(PROJECT / "build" / "jax")  # else compiling is half of the work
SETTINGS["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
REFUSED, LOST = 2, 3  # exit codes


def start(folder, *words, **settings):
    """The script on 64 images, as a process that can be killed with all that it started."""
    command = [sys.executable, "tools/train_on_several.py", "--images", "64", "--epochs", str(EPOCHS)]
    return subprocess.Popen(
        [*command, "--folder", str(folder), *words],
        cwd=PROJECT,
        env=os.environ | SETTINGS | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def start_two():
    """A function that starts processes 0 and 1; what is left of them is killed after the test."""
    started = []

    def start_both(folder, second=()):
        both = ["--first", free_address(), "--processes", "2"]
        started.append(start(folder, *both, "--number", "0"))
        started.append(start(folder, *both, "--number", "1", *second))
        return started[-2:]

    yield start_both
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def printed(process):
    """All that a process still prints until its end; after 900 s it hangs, however busy the computer is."""
    return process.communicate(timeout=900)[0]


def figures_of_epochs(text):
    """{epoch: [accuracy, loss, validation accuracy, validation loss]}"""
    lines = re.findall(rf"^epoch (\d+)/{EPOCHS}: (.*)$", text, flags=re.MULTILINE)
    return {int(number): [float(figure) for figure in re.findall(r"\d\.\d+", words)] for number, words in lines}


def check_figures(text, expected, first=1):
    """All epochs from the first on have the figures expected; rounding alone differs, as other parts are summed."""
    found = figures_of_epochs(text)
    assert list(found) == list(range(first, EPOCHS + 1))
    for epoch, figures in found.items():
        assert figures == pytest.approx(expected[epoch], abs=1e-4)


def check_last_line(text, tmp_path, *words):
    check_sentence(text.strip().splitlines()[-1].replace(str(tmp_path), ""), tmp_path, *words)
    assert "Traceback" not in text


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The epochs of one process that nothing disturbed: what all others are compared with."""
    process = start(tmp_path_factory.mktemp("alone"))
    epochs = figures_of_epochs(printed(process))
    assert process.returncode == 0 and list(epochs) == list(range(1, EPOCHS + 1))
    assert all(len(figures) == 4 for figures in epochs.values())
    return epochs


def test_two_processes_train_as_one(alone, start_two, tmp_path):
    for process in start_two(tmp_path):
        check_figures(printed(process), alone)
        assert process.returncode == 0


@pytest.mark.parametrize(("victim", "survivors"), [(1, 2), (0, 1)])
def test_after_a_kill_training_goes_on_from_the_last_checkpoint(victim, survivors, alone, start_two, tmp_path):
    both = start_two(tmp_path)
    next(line for line in both[victim].stdout if line.startswith("epoch 3/"))
    os.killpg(both[victim].pid, signal.SIGKILL)
    text = printed(both[1 - victim])
    check_last_line(text, tmp_path, f"Process {1 - victim} stops, because another process died", "same command again")
    assert both[1 - victim].returncode == LOST
    done = len(list(tmp_path.glob("*/epoch_*.weights.h5")))
    assert 2 <= done < EPOCHS
    for process in start_two(tmp_path) if survivors == 2 else [start(tmp_path)]:
        text = printed(process)
        assert f"going on after epoch {done} of {EPOCHS}\n" in text and process.returncode == 0
        check_figures(text, alone, first=done + 1)


@pytest.mark.parametrize("number", ["0", "1"])
def test_a_process_that_waits_for_the_others_in_vain_says_so(number, tmp_path):
    address = free_address()
    process = start(tmp_path, "--first", address, "--processes", "2", "--wait", "3", "--number", number)
    check_last_line(printed(process), tmp_path, f"did not meet the others at {address} within 3 s", "start all")
    assert process.returncode == LOST


@pytest.mark.parametrize("different", [["--epochs", "5"], ["--images", "65"]])
def test_processes_with_different_tasks_refuse(different, start_two, tmp_path):
    for process in start_two(tmp_path, second=different):
        text = printed(process)
        check_last_line(text, tmp_path, "do not have the same task", "--epochs, --images")
        assert process.returncode == REFUSED and figures_of_epochs(text) == {}


def test_a_damaged_checkpoint_is_named_in_both_processes_and_the_one_before_serves(alone, start_two, tmp_path):
    printed(start(tmp_path))
    last = tmp_path / "phantoms_0_64_images" / f"epoch_{EPOCHS:04}.weights.h5"
    last.write_bytes(last.read_bytes()[:5000])
    for process in start_two(tmp_path):
        check_last_line(printed(process), tmp_path, last.name, "damaged", "delete it in phantoms_0_64_images")
        assert process.returncode == REFUSED
    last.unlink()
    check_figures(printed(start(tmp_path)), alone, first=EPOCHS)


@pytest.mark.parametrize("words", [["--processes", "2"], ["--number", "1"], ["--images", "31"]])
def test_wrong_arguments_are_named(words, tmp_path):
    process = start(tmp_path, *words)
    assert words[0] in printed(process).splitlines()[-1] and process.returncode == 2
