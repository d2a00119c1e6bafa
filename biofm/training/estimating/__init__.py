"""Estimates of a training: before it begins, they tell its memory, its time and its space on the disk."""

from biofm.training.estimating.estimate import TrainingEstimate, estimate_training, training_room
from biofm.training.estimating.memory import StepMemory, give_back, measure_step, memory_named
from biofm.training.estimating.sample import Sample, sample_files, sample_store
from biofm.training.estimating.trial import Trial, try_steps

__all__ = [
    "Sample",
    "StepMemory",
    "TrainingEstimate",
    "Trial",
    "estimate_training",
    "give_back",
    "measure_step",
    "memory_named",
    "sample_files",
    "sample_store",
    "training_room",
    "try_steps",
]
