"""The linear assignment problem, for a batch and in TensorFlow operations, so that XLA compiles it and replicas run it."""

import tensorflow as tf

LARGE = 1e6  # in place of a cost that is not finite, so that the search ends


def assign(cost, wanted):
    """Gives every wanted row a column of its own so that the sum of their costs is the least.

    Shortest augmenting paths: Jonker, Volgenant, Computing 38, 1987, as Crouse writes them down (IEEE Trans. AES 52(4), 2016,
    section 2), which is also what SciPy's `linear_sum_assignment` runs. Rows are added one after another; each addition takes
    at most as many steps as there are rows, and the whole batch takes them together.

    Args:
        cost: float32 [batch, rows, columns].
        wanted: bool [batch, rows]; at most as many of an image as there are columns.

    Returns:
        int32 [batch, rows], a column for each wanted row and -1 for the others.
    """
    cost = tf.stop_gradient(tf.where(tf.math.is_finite(cost), cost, LARGE))
    batch, rows, columns = tf.unstack(tf.shape(cost))
    of_rows, of_columns = tf.zeros([batch, rows], cost.dtype), tf.zeros([batch, columns], cost.dtype)
    column_of, row_of = tf.fill([batch, rows], -1), tf.fill([batch, columns], -1)

    def add(new, of_rows, of_columns, column_of, row_of):
        """Assigns row `new`; `of_rows` and `of_columns` are the dual variables."""
        asked = wanted[:, new]
        end, before, least, shortest, seen_rows, seen = _path(new, asked, cost, of_rows, of_columns, row_of)
        own = tf.gather(shortest, tf.maximum(column_of, 0), batch_dims=1)
        own = tf.where(tf.equal(tf.range(rows), new), 0.0, own)
        of_rows += tf.where(seen_rows, least[:, None] - own, 0.0)
        of_columns += tf.where(seen, shortest - least[:, None], 0.0)
        return new + 1, of_rows, of_columns, *_flip(new, asked, end, before, column_of, row_of)

    state = (0, of_rows, of_columns, column_of, row_of)
    return tf.while_loop(lambda new, *_: new < rows, add, state, shape_invariants=_shapes(state))[3]


def _path(new, asked, cost, of_rows, of_columns, row_of):
    """The shortest path from a row to a free column, in the images that are `asked`."""
    batch, rows, columns = tf.unstack(tf.shape(cost))

    def search(end, row, least, before, shortest, seen_rows, seen):
        active = end < 0
        through = least[:, None] + tf.gather(cost, row, batch_dims=1)
        through -= tf.gather(of_rows, row, batch_dims=1)[:, None] + of_columns
        better = active[:, None] & ~seen & (through < shortest)
        shortest, before = tf.where(better, through, shortest), tf.where(better, row[:, None], before)
        seen_rows |= active[:, None] & tf.equal(tf.range(rows), row[:, None])
        column = tf.argmin(tf.where(seen, float("inf"), shortest), axis=1, output_type=tf.int32)
        least = tf.where(active, tf.gather(shortest, column, batch_dims=1), least)
        seen |= active[:, None] & tf.equal(tf.range(columns), column[:, None])
        owner = tf.gather(row_of, column, batch_dims=1)
        return (
            tf.where(active & (owner < 0), column, end),
            tf.where(active & (owner >= 0), owner, row),
            least,
            before,
            shortest,
            seen_rows,
            seen,
        )

    state = (
        tf.where(asked, -1, 0),
        tf.fill([batch], new),
        tf.zeros([batch], cost.dtype),
        tf.fill([batch, columns], -1),
        tf.fill([batch, columns], tf.constant(float("inf"), cost.dtype)),
        tf.zeros([batch, rows], tf.bool),
        tf.zeros([batch, columns], tf.bool),
    )
    end, _, *rest = tf.while_loop(
        lambda end, *_: tf.reduce_any(end < 0), search, state, shape_invariants=_shapes(state)
    )
    before = rest.pop(1)
    return end, before, *rest


def _flip(new, asked, end, before, column_of, row_of):
    """Every row on the path back from the free column takes the column after it."""

    def step(active, column, column_of, row_of):
        row = tf.gather(before, column, batch_dims=1)
        following = tf.gather(column_of, tf.maximum(row, 0), batch_dims=1)
        here = active[:, None] & tf.equal(tf.range(tf.shape(row_of)[1]), column[:, None])
        row_of = tf.where(here, row[:, None], row_of)
        here = active[:, None] & tf.equal(tf.range(tf.shape(column_of)[1]), row[:, None])
        column_of = tf.where(here, column[:, None], column_of)
        active &= tf.not_equal(row, new)
        return active, tf.where(active, following, column), column_of, row_of

    state = (asked, end, column_of, row_of)
    return tf.while_loop(lambda active, *_: tf.reduce_any(active), step, state, shape_invariants=_shapes(state))[2:]


def _shapes(state):
    """Of the tensors of a loop: their ranks, since the sizes may be known only at run time."""
    return tuple(tf.TensorShape([None] * len(tf.convert_to_tensor(x).shape)) for x in state)
