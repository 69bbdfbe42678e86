"""Where the examples of a data set come from: folders, lists, builders."""
