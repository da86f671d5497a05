"""What one writes in ten minutes: FastAPI around a Transformers pipeline. `python naive_service.py FOLDER PORT`."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline


class Question(BaseModel):
    """The body of a request."""

    inputs: list[str]


def main() -> None:
    folder, port = sys.argv[1], int(sys.argv[2])
    # The head on top is a fresh one: what it costs is the same, and what it answers is not looked at.
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=6)
    classify: Any = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder))
    app = FastAPI()

    @app.post("/predict")
    def predict(question: Question) -> dict[str, Any]:
        return {"predictions": classify(question.inputs)}

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
