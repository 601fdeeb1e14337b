"""What a traced function computes."""


def nodes_in(graph):
    """All operations (NodeDef with `_output_shapes`) of a graph and of the functions it calls."""
    definition = graph.as_graph_def(add_shapes=True)
    return [*definition.node, *(n for f in definition.library.function for n in f.node_def)]


def shapes_of(node):
    """Shapes of a node's outputs; -1 is an unknown length, None an unknown shape."""
    shapes = node.attr["_output_shapes"].list.shape
    return [None if s.unknown_rank else tuple(d.size for d in s.dim) for s in shapes]
