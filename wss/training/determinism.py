"""The same numbers in every run on the same machine."""

import tensorflow as tf
from tensorflow.python.eager import context


def configure(deterministic: bool = False) -> None:
    """Has TensorFlow add, read and write in the same order in every run.

    Functions that have run before may keep their order.

    Args:
      deterministic: choose kernels that give the same numbers each time, which may be
        slower. For GPUs; the CPU's were not found to differ.
    """
    _keep_order()
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def _keep_order() -> None:
    """Switches off two passes of TensorFlow's graph optimizer.

    Where the one that saves memory thinks that it is short (a CPU counts as 256 MB), it
    adds three or more tensors into a temporary variable in the order in which they
    become ready. That order changes from run to run. `tf.config.optimizer` knows all
    passes but this one.

    The one on dependencies takes "written behind this reading" away where another path
    leads from the reading to the writing. Where that path is through an operation that
    it splits later (`tf.identity_n`, which `all_reduce` adds), nothing is left of the
    order: some steps read weights that they had just written.
    """
    current = context.context()
    options = tf.compat.v1.ConfigProto()
    if current._config is not None:
        options.CopyFrom(current._config)
    rewriting = options.graph_options.rewrite_options
    rewriting.memory_optimization = rewriting.NO_MEM_OPT
    rewriting.dependency_optimization = rewriting.OFF
    current._config = options
    current.function_call_options = None  # They are made anew from the above.
