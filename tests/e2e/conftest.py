"""A whole embedded stack with a small storefront's demo run on it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mmrec.demo.report import DemoFacts
from mmrec.demo.steps import Steps
from mmrec.demo.world import DemoWorld, storefront_world
from mmrec.home import StackHome
from services.stack.demo_steps import DemoRun
from services.stack.embedded import EmbeddedStack


@dataclass(frozen=True)
class DemoStack:
    """A running stack on which the demo has gone through."""

    stack: EmbeddedStack
    world: DemoWorld
    demo: DemoRun
    facts: DemoFacts


@pytest.fixture(scope="module")
def demo_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoStack]:
    """The stack after its demo; ended with the file, since twelve programs slow down whatever comes after it."""
    home = StackHome(folder=tmp_path_factory.mktemp("home"))
    world = storefront_world(time.time(), num_items=240, num_users=160)
    stack = EmbeddedStack(home, tables=world.configuration, held=("encode_items",), say=print)
    stack.start()
    try:
        demo = DemoRun(world, stack, steps=Steps(num_steps=11, tell=print), tell=print)
        yield DemoStack(stack=stack, world=world, demo=demo, facts=demo.run())
    finally:
        stack.stop()
