"""Two processes that train together on this machine.

    python -m tests.training.pair MODEL_DIR [LOST]

is one of them: the workers agree on a variable, each writes a file, and the one with
the number LOST vanishes.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Sequence

import tensorflow as tf

from wss import cli
from wss.training import distribution


def run_pair(arguments: Sequence[str]) -> list[subprocess.CompletedProcess]:
    """Runs `python -m <arguments>` as worker 0 and as worker 1 of a cluster."""
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("localhost", 0))
        hosts = [f"localhost:{each.getsockname()[1]}" for each in (first, second)]
    processes = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": hosts}, "task": task})
        environment = {**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-m", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(command, env=environment, **pipes))
    try:
        outputs = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *output)
        for process, output in zip(processes, outputs)
    ]


def work(model_dir: str, lost: str) -> None:
    strategy = distribution.get_strategy()
    index = strategy.cluster_resolver.task_id
    with distribution.together(strategy, model_dir) as folder:
        with strategy.scope():
            variables = [tf.Variable(7.5 + index), tf.Variable([3 + index, 4])]
        distribution.share(strategy, variables)
        values = [variable.numpy().tolist() for variable in variables]
        any_last = distribution.any_of(strategy, index == 1)
        print("chief")
        print(distribution.device_names(strategy), file=sys.stderr)
        print(distribution.gather(strategy, (1 + index) * "ä"), file=sys.stderr)
        print(values, any_last, folder, file=sys.stderr, flush=True)
        pathlib.Path(folder, f"file-{index}").write_text("")
        if lost == str(index):
            os._exit(9)


if __name__ == "__main__":
    sys.exit(cli.run(lambda: work(sys.argv[1], (*sys.argv[2:], "")[0])))
