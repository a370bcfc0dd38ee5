"""The addresses of the page on which a picture is tried out."""

from __future__ import annotations

PATH = "/try"
PREDICT = "/try/api/predict"
LOOKED = "/try/api/looked"
WRONG = "/try/api/wrong"
LABELS = "/try/api/labels"

OFFLINE = "/try/offline"
BUNDLE = "/try/offline/bundle.json"
MODEL = "/try/offline/model"
RUNTIME = "/try/offline/runtime"
PARTS = "/try/offline/parts"
WORKER = "/try/offline/worker.js"
