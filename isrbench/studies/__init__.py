"""Studies: questions that take several runs to answer. They use what `import isrbench` gives, and are in no identity."""
