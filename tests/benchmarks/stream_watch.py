"""What a draining stream does second by second: events in the store, memory and processor time by process, phases."""

import re
import time
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field

import psutil

from services.stack.guard import processes_of
from tests.benchmarks.stream_stack import STREAM, StreamStack

LOOK_S = 0.2
SYSTEM_LOOK_S = 1.0
_SAMPLE = re.compile(r"^(mmrec_\w+)(?:\{(.*)\})? (\S+)$")


@dataclass(kw_only=True)
class Drained:
    """One run of the stream over a backlog."""

    first_batch_s: float = 0.0
    """Epoch seconds at which the first micro-batch was planned."""
    start_to_first_batch_s: float = 0.0
    start_to_first_progress_s: float = 0.0
    end_s: float = 0.0
    """When the last batch's progress was seen in the store."""
    num_records: int = 0
    seen: list[tuple[float, int]] = field(default_factory=list)
    """(seconds since the first batch, records in the store), at each step."""
    memory: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the first batch, MiB of driver, JVM and workers together)."""
    memory_mb: dict[str, float] = field(default_factory=dict)
    """By role, at the end."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """By role, from the first batch to the end."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Prometheus samples of the stream at the end, as "name{labels}"."""

    @property
    def seconds(self) -> float:
        return self.end_s - self.first_batch_s

    @property
    def events_per_s(self) -> float:
        return self.num_records / self.seconds


def drain(stack: StreamStack, *arguments: str, timeout_s: float = 600.0) -> Drained:
    """Start the stream, watch it until everything on the topic is in the store, and stop it."""
    before = stack.progress()
    first_num = stack.num_behind(before)
    began_s = stack.start_stream(*arguments)
    found, stamps, memory, log_sequence = Drained(num_records=first_num), [], [], before.log_sequence
    cpu_before: dict[str, float] | None = None
    next_look_s, give_up_s = 0.0, time.monotonic() + timeout_s
    behind = first_num
    while behind:
        if time.monotonic() > give_up_s:
            raise RuntimeError(f"{behind} records left after {timeout_s} s\n" + stack.log_file.read_text()[-4_000:])
        stack.check_stream()
        first_s = stack.first_batch_s
        if first_s is not None and first_s >= began_s and cpu_before is None:
            found.first_batch_s, cpu_before = first_s, cpu_seconds(stack)
        progress = stack.progress()
        if progress.log_sequence != log_sequence or progress.marks != before.marks:
            log_sequence, before = progress.log_sequence, progress
            behind = stack.num_behind(progress)
            stamps.append((time.time(), first_num - behind))
        if time.monotonic() >= next_look_s:
            next_look_s = time.monotonic() + SYSTEM_LOOK_S
            memory.append((time.time(), sum(memory_mb(stack).values())))
        time.sleep(LOOK_S / 4)
    found.end_s = stamps[-1][0]
    after = cpu_seconds(stack)
    found.cpu_s = {role: round(after[role] - (cpu_before or {}).get(role, 0.0), 2) for role in after}
    found.memory_mb = {role: round(value, 1) for role, value in memory_mb(stack).items()}
    found.metrics = scrape(stack.metrics_port)
    found.start_to_first_batch_s = found.first_batch_s - began_s
    found.start_to_first_progress_s = stamps[0][0] - began_s
    found.seen = [(round(when - found.first_batch_s, 2), number) for when, number in stamps]
    found.memory = [(round(when - found.first_batch_s, 1), round(value, 1)) for when, value in memory]
    stack.stop_stream()
    return found


def role_of(process: psutil.Process) -> str:
    """driver, jvm or workers of the stream."""
    line = " ".join(process.cmdline())
    if "SparkSubmit" in line or "/java" in line.split(" ", 1)[0]:
        return "jvm"
    return "workers" if "pyspark" in line else "driver"


def cpu_seconds(stack: StreamStack) -> dict[str, float]:
    """Processor time so far by role, broker and Redis beside the stream's own; ended children included."""
    found: dict[str, float] = defaultdict(float)
    for program, role in ((STREAM, ""), ("kafka", "broker"), ("redis", "redis")):
        for pid in processes_of(stack.stack_id, program=program):
            try:
                process = psutil.Process(pid)
                name = role or role_of(process)
                times = process.cpu_times()
            except psutil.Error:
                continue
            found[name] += times.user + times.system
            if name == "workers":
                found[name] += times.children_user + times.children_system
    return dict(found)


def memory_mb(stack: StreamStack) -> dict[str, float]:
    """Resident memory by role of the stream."""
    found: dict[str, float] = defaultdict(float)
    for pid in processes_of(stack.stack_id, program=STREAM):
        try:
            process = psutil.Process(pid)
            found[role_of(process)] += process.memory_info().rss / 2**20
        except psutil.Error:
            continue
    return dict(found)


def scrape(port: int) -> dict[str, float]:
    """Samples of a Prometheus endpoint on this machine."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = {}
    for line in lines:
        if matched := _SAMPLE.match(line):
            name, labels, value = matched.groups()
            found[f"{name}{{{labels or ''}}}"] = float(value)
    return found


def phase_seconds(metrics: dict[str, float]) -> dict[str, float]:
    """Seconds by phase of the micro-batch, `whole` among them."""
    prefix = 'mmrec_stream_batch_seconds_sum{phase="'
    return {name[len(prefix) : -2]: value for name, value in metrics.items() if name.startswith(prefix)}
