"""How fast lists are: RecommendItems over gRPC at one and at sixteen requests under way, and with too many of them.

    python -m tests.benchmarks.bench_recommend                         with a recommender of its own, simulated world
    python -m tests.benchmarks.bench_recommend --config mmrec.toml     against a running stack (simulated users)

Writes tests/benchmarks/results/recommend.json; --output FILE writes elsewhere.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import grpc
import numpy as np
import psutil

from mmrec.config import Settings
from mmrec.telemetry.logs import read_status
from mmrec.v1 import recommender_pb2, recommender_pb2_grpc
from mmrec.wiring import settings_from
from tests.benchmarks.receipt import write_receipt

NUM_ITEMS = 20
WARM_UP_S = 2.0
OVERLOAD_S = 6.0
PACKAGES = ("ray", "grpcio", "numpy", "faiss-cpu", "feast", "torch")


def main() -> None:
    """Measure and write the receipt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="a running deployment; one is started where not given")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement")
    parser.add_argument("--num-users", type=int, default=600)
    parser.add_argument("--num-items", type=int, default=1_000)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.config:
        users = tuple(f"u{number:05d}" for number in range(arguments.num_users))
        figures, samples = measure(settings_from(arguments.config), users, seconds=arguments.seconds)
    else:
        from tests.benchmarks.own_recommender import own_recommender

        with (
            tempfile.TemporaryDirectory(prefix="mmrec-bench-") as folder,
            own_recommender(Path(folder), num_users=arguments.num_users, num_items=arguments.num_items) as recommender,
        ):
            figures, samples = measure(recommender.settings, recommender.user_ids, seconds=arguments.seconds)
    path = write_receipt("recommend", figures, samples, packages=PACKAGES, output=arguments.output)
    print(json.dumps(figures, indent=1))
    print(path.name, "written")


def measure(settings: Settings, user_ids: tuple[str, ...], *, seconds: float) -> tuple[dict[str, float], dict]:
    """Figures and raw latencies (ms, at most 2,000 per level)."""
    figures: dict[str, float] = {}
    samples: dict[str, list[float]] = {}
    target = settings.serving.recommender
    for concurrency in (1, 16):
        asyncio.run(_load(target, user_ids, concurrency=concurrency, seconds=WARM_UP_S))
        latencies, elapsed_s, answer = asyncio.run(_load(target, user_ids, concurrency=concurrency, seconds=seconds))
        milliseconds = np.array(latencies) * 1_000
        figures[f"qps_c{concurrency}"] = round(len(latencies) / elapsed_s, 1)
        figures[f"p50_ms_c{concurrency}"] = round(float(np.percentile(milliseconds, 50)), 3)
        figures[f"p99_ms_c{concurrency}"] = round(float(np.percentile(milliseconds, 99)), 3)
        figures["num_candidates"] = answer.state.num_candidates
        samples[f"latency_ms_c{concurrency}"] = np.round(milliseconds[:2_000], 3).tolist()
    for times in (2, 5):
        figures |= asyncio.run(_overload(target, user_ids, per_s=times * figures["qps_c16"], times=times))
    latencies, _, _ = asyncio.run(_load(target, user_ids, concurrency=1, seconds=WARM_UP_S))
    figures["p50_ms_c1_after_overload"] = round(float(np.percentile(np.array(latencies) * 1_000, 50)), 3)
    status = read_status(settings.stores.status)["recommender"]
    figures["num_items"] = status["num_items"]
    figures["rss_mb"] = round(psutil.Process(int(status["pid"])).memory_info().rss / 2**20, 1)
    figures["list_length"] = NUM_ITEMS
    return figures, samples


async def _load(
    target: str, user_ids: tuple[str, ...], *, concurrency: int, seconds: float
) -> tuple[list[float], float, recommender_pb2.RecommendItemsResponse]:
    """Closed loop: each of `concurrency` callers asks again as soon as it has its answer."""
    latencies: list[float] = []
    answer = recommender_pb2.RecommendItemsResponse()
    async with grpc.aio.insecure_channel(target) as channel:
        stub = recommender_pb2_grpc.RecommenderServiceStub(channel)
        stop_s = time.perf_counter() + seconds
        started_s = time.perf_counter()

        async def caller(number: int) -> None:
            nonlocal answer
            turn = number
            while time.perf_counter() < stop_s:
                user_id = user_ids[turn % len(user_ids)]
                turn += concurrency
                before_s = time.perf_counter()
                answer = await stub.RecommendItems(
                    recommender_pb2.RecommendItemsRequest(user_id=user_id, num_items=NUM_ITEMS), timeout=10
                )
                latencies.append(time.perf_counter() - before_s)

        await asyncio.gather(*(caller(number) for number in range(concurrency)))
        elapsed_s = time.perf_counter() - started_s
    return latencies, elapsed_s, answer


async def _overload(target: str, user_ids: tuple[str, ...], *, per_s: float, times: int) -> dict[str, float]:
    """Open loop: `per_s` requests a second, whatever becomes of those before; nobody asks again."""
    accepted: list[float] = []
    refused, others = 0, 0
    async with grpc.aio.insecure_channel(target) as channel:
        stub = recommender_pb2_grpc.RecommenderServiceStub(channel)

        async def caller(number: int) -> None:
            nonlocal refused, others
            request = recommender_pb2.RecommendItemsRequest(
                user_id=user_ids[number % len(user_ids)], num_items=NUM_ITEMS
            )
            before_s = time.perf_counter()
            try:
                await stub.RecommendItems(request, timeout=10)
                accepted.append(time.perf_counter() - before_s)
            except grpc.aio.AioRpcError as error:
                refused += error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                others += error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED

        started_s, asked = time.perf_counter(), []
        for number in range(round(per_s * OVERLOAD_S)):
            await asyncio.sleep(max(started_s + number / per_s - time.perf_counter(), 0.0))
            asked.append(asyncio.create_task(caller(number)))
        await asyncio.gather(*asked)
        elapsed_s = time.perf_counter() - started_s
    name = f"overload_{times}x"
    return {
        f"{name}_asked_per_s": round(len(asked) / elapsed_s, 1),
        f"{name}_answered_per_s": round(len(accepted) / elapsed_s, 1),
        f"{name}_refused_share": round(refused / len(asked), 4),
        f"{name}_failed": others,
        f"{name}_p99_ms": round(float(np.percentile(np.array(accepted) * 1_000, 99)), 3),
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
