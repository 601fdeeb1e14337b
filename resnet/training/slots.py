"""Variables beside a model's: what an optimizer or an average keeps of each."""

import tensorflow as tf


def variables_beside(variables, suffix, initial):
    """One beside each of a model's variables, on the same replicas.

    Args:
      variables: {storage name: tf.Variable}.
      suffix: of its name.
      initial: (tf.Variable of the model) -> initial value.

    Returns:
      {storage name: tf.Variable}.
    """
    return {
        name: tf.Variable(
            initial(variable),
            trainable=False,
            name=f"{name}_{suffix}".replace("/", "_"),
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        for name, variable in variables.items()
    }
