"""Studies: questions that take several runs to answer. Made from what `import isrbench` gives; part of no identity."""
