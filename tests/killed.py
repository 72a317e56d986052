"""A command such as `blip-udfs embed`, in a process of its own -> what it logged, and what of it can be killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil

COMMAND = str(Path(sys.executable).parent / "blip-udfs")


class Run:
    """One start of a command in `folder`, which keeps its warehouse, output, and the events of embed."""

    def __init__(self, folder: Path, *words: str, command: str = "embed"):
        self.log = folder / "events.jsonl"
        self.before = len(self.events())
        logged = ["--events", str(self.log)] if command == "embed" else []
        every = [COMMAND, command, "--warehouse", str(folder / "warehouse"), *logged, *words]
        with (folder / "output").open("a") as output:
            environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"}
            self.process = subprocess.Popen(every, stdout=output, stderr=output, env=environment)

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def after(self, events: int, seconds: float) -> bool:
        """Waits until so many events were logged by this run, and a while; False if it ended before."""
        while self.process.poll() is None and len(self.events()) - self.before < events:
            time.sleep(0.1)
        time.sleep(seconds)
        return self.process.poll() is None

    def descendants(self, word: str = "") -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in found if word in " ".join(command_of(each))]

    def kill_one(self, chance: random.Random, word: str) -> None:
        while self.process.poll() is None and not (found := self.descendants(word)):
            time.sleep(0.1)
        chance.choice(found).kill()

    def kill_driver(self) -> None:
        """The JVM first, then the Python that started it; executors that lose their driver end by themselves."""
        children = self.descendants()
        for driver in self.descendants("org.apache.spark.deploy.SparkSubmit"):
            driver.kill()
        self.process.kill()
        self.process.wait()
        _, left = psutil.wait_procs(children, timeout=60)
        for each in left:
            each.kill()


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
