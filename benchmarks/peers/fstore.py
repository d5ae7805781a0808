"""Ours: ``get_historical_features(...).to_df()``, from the request to the frame."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from benchmarks.protocol import Ask, Job, serve
from fstore import FeatureStore


def prepare(job: Job) -> Ask:
    """Open the store; the manifest is read in the first call, which is not timed."""
    settings = Path(job.project, "fstore.yml")
    settings.unlink(missing_ok=True)
    if job.memory_limit is not None:
        content = {"memory_limit": job.memory_limit, "temp_directory": ".fstore/tmp"}
        settings.write_text(yaml.safe_dump(content), encoding="utf-8")
    store = FeatureStore(job.project)
    spine = pd.read_parquet(job.spine)
    references = [f"{view.name}:{name}" for view in job.views for name in view.features]

    def ask() -> pd.DataFrame:
        training_set = store.get_historical_features(spine, references, plan=job.plan)
        frame = training_set.to_df()
        taken = {str(each.plan) for each in training_set.plans.values()}
        frame.attrs["taken"] = ", ".join(sorted(taken))
        return frame

    return ask


if __name__ == "__main__":
    serve(prepare)
