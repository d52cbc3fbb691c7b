"""Confusion matrices whose numbers are easily derived; rows are labels, columns predictions."""

import numpy as np

NAN = np.nan

#      [[3, 1, 0],   row sums    = [4, 2, 2]     diagonal = [3, 1, 2]
#       [1, 1, 0],   column sums = [4, 2, 2]     union    = [4+4-3, 2+2-1, 2+2-2] = [5, 3, 2]
#       [0, 0, 2]]                               IoU      = [3/5, 1/3, 1]
CONFUSION = [[3, 1, 0], [1, 1, 0], [0, 0, 2]]
#      [[3, 0, 1],   row sums    = [4, 0, 2]   union    = [4, 0, 3]       class 1 is absent
#       [0, 0, 0],   column sums = [3, 0, 3]   IoU      = [3/4, -, 2/3]
#       [0, 0, 2]]                             accuracy = [3/4, -, 1]
ABSENT = [[3, 0, 1], [0, 0, 0], [0, 0, 2]]
#      [[3, 1, 0],   row sums    = [4, 0, 2]   union    = [4, 1, 2]       class 1 is only predicted
#       [0, 0, 0],   column sums = [3, 1, 2]   IoU      = [3/4, 0, 1]
#       [0, 0, 2]]                             accuracy = [3/4, -, 1]
PREDICTED_ONLY = [[3, 1, 0], [0, 0, 0], [0, 0, 2]]
#      [[3, 0, 1],   two named classes, row sums    = [4, 4]   diagonal = [3, 2]
#       [1, 2, 1]]                      column sums = [4, 2]   union    = [5, 4]
#                    as many wrong as pixels in column 2       IoU      = [3/5, 2/4]
EXTRA_COLUMN = [[3, 0, 1], [1, 2, 1]]
