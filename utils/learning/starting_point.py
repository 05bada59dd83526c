"""Where a training starts: at the run's latest snapshot, else with the weights that the settings name."""

from dataclasses import asdict

from config import FILE_HEADS, Config
from utils import console
from utils.learning.examples import Examples
from utils.learning.file_classes import with_file_classes
from utils.learning.host_messages import from_first, on_all
from utils.learning.hosts import is_first
from utils.learning.input_statistics import input_statistics
from utils.learning.runs import Progress, resume
from utils.learning.steps import TrainState, initial_state
from utils.models.input_scaling import with_statistics
from utils.models.networks import Network
from utils.models.public_weights import start_from_weights
from utils.models.training_log import EpochRow
from utils.models.transfer import find_pretrained, start_from


def starting_point(network: Network, examples: Examples, config: Config) -> tuple[TrainState, Progress]:
    """Return state and progress at the start.

    Of several hosts, host 0 finds the progress for all; `replicate_from_host_0` gives them its state.

    Raises
    ------
    UserError
        If the run cannot resume, or weights cannot be read.
    """

    def find() -> tuple[TrainState, Progress]:
        return _find(network, examples, config) if is_first() else (initial_state(network, config.training), Progress())

    state, progress = on_all(find)
    rows, steps, sums, hard = from_first(
        lambda: ([asdict(row) for row in progress.rows], progress.steps, progress.sums, progress.hard_negatives)
    )
    return state, Progress([EpochRow(**row) for row in rows], steps, tuple(sums), tuple(hard))


def _find(network: Network, examples: Examples, config: Config) -> tuple[TrainState, Progress]:
    settings = config.training
    state, progress = resume(initial_state(network, settings), examples, config)
    if not progress.rows and not progress.steps:
        started = _initial_network(network, examples, config)
        state = state if started is network else initial_state(started, settings)
    return state, progress


def _initial_network(network: Network, examples: Examples, config: Config) -> Network:
    """Return the network with its first weights: of a snapshot, public ones, or those it has."""
    settings = config.training
    if settings.pretrained:
        snapshot = find_pretrained(settings.pretrained)
        network, summary = start_from(snapshot, network, examples.classes, output=settings.pretrained_output)
        console.info(summary)
    elif config.model.name == "External":
        if config.model.head in FILE_HEADS:
            network = with_file_classes(network, examples.classes, config)
    elif config.model.weights:
        network, summary = start_from_weights(network, config.model)
        console.info(summary)
    elif config.model.frozen_stages:
        raise console.UserError(
            f"model.frozen_stages = {config.model.frozen_stages} would freeze layers with random weights; set "
            "model.weights or training.pretrained, or model.frozen_stages = 0"
        )
    statistics = input_statistics(examples, config)
    return network if statistics is None else network._replace(rest=with_statistics(network.rest, statistics))
