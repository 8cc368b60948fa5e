"""Every way to mend a run, typed as a person would, on one that is really broken: it comes right, and is told."""
