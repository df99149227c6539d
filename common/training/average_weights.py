"""The mean of the weights along the way, as the network that is validated and kept."""

import keras


class AverageWeights(keras.callbacks.Callback):
    """Validates and keeps the mean of the weights at the ends of the epochs from `first` on.

    Training goes on from its own weights, which the mean never touches. The batch-norm statistics
    of a mean are not the mean of statistics: `PreciseBatchNorm`, called after this, measures them.

    Args:
        model: that is trained.
        first: epoch, counted from 0, whose weights are the first to be averaged.

    Attributes:
        others: variables that hold the other weights: training's own from a validation to the next
            epoch, the mean at other times. A run that goes on needs them.

    Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization",
    2018, algorithm 1 (SWA).
    """

    def __init__(self, model: keras.Model, first: int):
        """Make room for the other weights."""
        super().__init__()
        self.first = first
        self.others = [keras.Variable(variable) for variable in model.trainable_variables]

    def on_epoch_begin(self, epoch, logs=None):
        """Go on from training's own weights."""
        self.averaged = epoch - self.first  # so many epochs are in the mean
        self.due = self.averaged >= 0
        if self.averaged > 0:
            for variable, other in self._pairs():
                mean, own = variable.numpy(), other.numpy()
                variable.assign(own)
                other.assign(mean)

    def on_test_begin(self, logs=None):
        """Take the epoch's weights into the mean, and give that to the model."""
        if self.due:
            self.due = False
            for variable, other in self._pairs():
                own, mean = variable.numpy(), other.numpy()
                variable.assign((self.averaged * mean + own) / (self.averaged + 1))
                other.assign(own)

    def on_epoch_end(self, epoch, logs=None):
        """Do what no validation has done."""
        self.on_test_begin()

    def _pairs(self):
        return zip(self.model.trainable_variables, self.others, strict=True)
