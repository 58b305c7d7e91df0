"""Any environment: a function of yours makes it, in dm_env's form, and it shows its frames."""

import importlib
import inspect
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, SupportsFloat

import dm_env
import numpy as np

from patchail_jax.envs.dmc import FrameEnvironment, refuse_repeat
from patchail_jax.envs.look import square
from patchail_jax.errors import UserError, one_line

_log = logging.getLogger(__name__)


class FactoryEnvironment(FrameEnvironment):
    """The ``dm_env.Environment`` that ``factory`` ("module:function") makes, as frames, rewards and discounts.

    The function is called once, with ``task`` (``config.env.task``, any name) and ``image_size`` (pixels a side that
    are wanted). Observations are ``[H,W,3] uint8``, or a mapping that has them under "pixels"; larger ones are cut to
    their middle square and reduced by area. Actions are a bounded vector of floats. A termination is a last step with
    discount 0; a last step with another discount is one where time was up.

    An episode starts with ``environment.seed(number)`` where there is such a method, else with a new seed for
    ``environment.task.random`` as dm_control has it, and only then ``reset()``. Raises UserError, one line, for a
    function that does not exist and an environment that does not fit.
    """

    def __init__(self, *, factory: str, task: str, action_repeat: int, image_size: int, episode_frames: int) -> None:
        refuse_repeat(action_repeat, episode_frames)
        environment = _made(factory, task=task, image_size=image_size)
        self._low, self._high = _action_bounds(environment.action_spec(), name=task)
        self._environment = _Watched(environment, name=task)
        self._reseed = _seeding(environment, name=task)
        self._repeat, self._limit, self._frames = action_repeat, episode_frames, 0
        self._render = lambda: square(self._environment.pixels, image_size).copy()  # type: ignore[assignment]
        self.action_size = self._low.size

    def recorded(self) -> np.ndarray:
        """What a recording keeps: the newest frame ``[H,W,3] uint8``. What the environment is made of stays its own."""
        return self._render()

    def close(self) -> None:
        """Frees the environment."""
        self._environment.close()

    def _start(self, seed: int) -> None:
        self._reseed(seed)
        self._environment.reset()
        self._frames = 0


class _Watched:
    """An environment that remembers its newest image, and is held to dm_env's form."""

    def __init__(self, environment: dm_env.Environment, *, name: str) -> None:
        self._environment, self._name = environment, name
        self.pixels = np.zeros((0, 0, 3), np.uint8)
        self.close = environment.close

    def reset(self) -> None:
        self._look(self._environment.reset(), by="reset")

    def step(self, action: np.ndarray) -> dm_env.TimeStep:
        step = self._environment.step(action)
        self._look(step, by="step")
        _require_number(f"{self._name}: step() gave the reward", step.reward, otherwise="0 where the task has none")
        _require_number(f"{self._name}: step() gave the discount", step.discount, otherwise="1 where nothing ends")
        return step

    def _look(self, step: Any, *, by: str) -> None:
        if not isinstance(step, dm_env.TimeStep):
            raise UserError(f"{self._name}: {by}() gave {type(step).__name__}; it must give a dm_env.TimeStep")
        pixels = _pixels(step.observation, name=self._name)
        if self.pixels.size and pixels.shape != self.pixels.shape:
            before, now = (f"{width}x{height}" for height, width, _ in (self.pixels.shape, pixels.shape))
            raise UserError(f"{self._name}: the image was {before} pixels large and is {now}; it must stay the same")
        self.pixels = pixels


def _require_number(what: str, value: Any, *, otherwise: str) -> None:
    if np.ndim(value) or not isinstance(value, SupportsFloat) or not math.isfinite(value):
        raise UserError(f"{what} {value!r}; it must be a finite number, {otherwise}")


def _made(factory: str, *, task: str, image_size: int) -> dm_env.Environment:
    """What the function makes. What it raises is logged, and one line of it is a ``UserError``."""
    function = _find(factory)
    try:
        inspect.signature(function).bind(task=task, image_size=image_size)
    except TypeError as error:
        call = f"{factory.rpartition(':')[2]}(task={task!r}, image_size={image_size})"
        raise UserError(f"env.factory {factory} is called as {call}, and does not take that: {error}") from error
    except ValueError:  # a built-in without a signature
        pass
    try:
        environment = function(task=task, image_size=image_size)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        _log.exception("env.factory %s failed", factory)
        raise UserError(f"env.factory {factory} failed ({type(error).__name__}: {one_line(error)})") from error
    if not isinstance(environment, dm_env.Environment):
        raise UserError(f"env.factory {factory} gives {type(environment).__name__}, not a dm_env.Environment")
    return environment


def _find(factory: str) -> Callable[..., Any]:
    module, colon, name = factory.partition(":")
    if not (module and colon and name) or module.startswith("."):
        raise UserError(f"config.env.factory is {factory!r}; write module:function, for example my_robot.camera:make")
    try:
        imported = importlib.import_module(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a script without a main guard may end itself
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise UserError(f"env.factory {factory}: {error}; is its folder on PYTHONPATH?") from error
        _log.exception("env.factory %s: the import of %s failed", factory, module)
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"env.factory {factory}: {module} cannot be imported ({reason})") from error
    try:
        function: Callable[..., Any] = getattr(imported, name)
    except AttributeError as error:
        raise UserError(f"env.factory {factory}: there is no {name} in {module}") from error
    if not callable(function):
        raise UserError(f"env.factory {factory}: {name} is not a function")
    return function


def _action_bounds(spec: Any, *, name: str) -> tuple[np.ndarray, np.ndarray]:
    """What the actions -1 and 1 are for the environment, both ``[A] float64``."""
    if isinstance(spec, dm_env.specs.DiscreteArray) or not np.issubdtype(getattr(spec, "dtype", object), np.floating):
        raise UserError(f"{name} has discrete actions; only continuous actions are supported")
    if not isinstance(spec, dm_env.specs.BoundedArray) or len(spec.shape) != 1:
        raise UserError(f"{name} must have actions [A] with bounds (dm_env.specs.BoundedArray), not {spec}")
    low, high = (np.broadcast_to(bound, spec.shape).astype(np.float64) for bound in (spec.minimum, spec.maximum))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise UserError(f"{name} has actions without bounds; give each a smallest and a largest value")
    return low, high


def _seeding(environment: Any, *, name: str) -> Callable[[int], Any]:
    if callable(getattr(environment, "seed", None)):
        return environment.seed
    random = getattr(getattr(environment, "task", None), "random", None)
    if isinstance(random, np.random.RandomState):
        return random.seed
    _log.warning("%s has no method seed(number): a resumed run cannot repeat its episodes exactly", name)
    return lambda seed: None


def _pixels(observation: Any, *, name: str) -> np.ndarray:
    pixels = observation.get("pixels") if isinstance(observation, Mapping) else observation
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        form = f"{pixels.dtype}{list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise UserError(f"{name} must show pixels [H,W,3] uint8 (or a mapping with 'pixels'), not {form}")
    return pixels
