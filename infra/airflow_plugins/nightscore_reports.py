"""Airflow shows our reports: what a night's tasks link to, behind Airflow's own login."""

from __future__ import annotations

import re

from airflow.api_fastapi.core_api.security import get_user
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse

from feature_store.errors import UsageError
from feature_store.home import Home

_PIPELINE = re.compile(r"[a-z][a-z0-9_]*\Z")
_PAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.html\Z")
# A page has its own origin, as if it came from elsewhere: it cannot act as who reads it.
_HEADERS = {"Content-Security-Policy": "sandbox allow-scripts allow-popups"}

app = FastAPI(title="nightscore", dependencies=[Depends(get_user)], docs_url=None, openapi_url=None)


@app.get("/reports/index.html")
def front() -> FileResponse:
    """Return the front page of all pipelines, `<NIGHTSCORE_HOME>/reports/index.html`."""
    try:
        path = Home.from_env().local_path("reports", "index.html")
    except UsageError as error:  # a store's, or none at all
        raise HTTPException(404, str(error)) from error
    if not path.is_file():
        raise HTTPException(404, "no front page: it is written when a night ends")
    return FileResponse(path, media_type="text/html", headers=_HEADERS)


@app.get("/reports/{pipeline}/{page}")
def report(pipeline: str, page: str) -> FileResponse:
    """Return a page of a night from `<NIGHTSCORE_HOME>/reports`."""
    if not (_PIPELINE.match(pipeline) and _PAGE.match(page)):
        raise HTTPException(404, f"no report {pipeline}/{page}: no page has such a name")
    try:
        path = Home.from_env().local_path("reports", pipeline, page)
    except UsageError as error:  # a store's, or none at all
        raise HTTPException(404, str(error)) from error
    if not path.is_file():
        raise HTTPException(404, f"no report {pipeline}/{page}: it is written when a night ends")
    return FileResponse(path, media_type="text/html", headers=_HEADERS)


class NightscoreReports(AirflowPlugin):
    """Serves the reports at /nightscore/reports/<pipeline>/<day>.html."""

    name = "nightscore_reports"
    fastapi_apps = [{"app": app, "url_prefix": "/nightscore", "name": "nightscore reports"}]  # noqa: RUF012
