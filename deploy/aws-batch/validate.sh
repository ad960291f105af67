#!/bin/sh
# Validates job-definition.json against the model of the AWS Batch API that comes with the
# package botocore, which is installed into a folder of its own. Nothing is sent.
set -eu
cd "$(dirname "$0")"
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet botocore
"$venv/bin/python" - <<'PYTHON'
import json
from botocore.session import get_session
from botocore.validate import ParamValidator

api = get_session().get_service_model("batch")

def problems(operation, parameters):
    return ParamValidator().validate(parameters, api.operation_model(operation).input_shape).generate_report()

definition = json.load(open("job-definition.json"))
found = problems("RegisterJobDefinition", definition)
assert not found, found
assert problems("RegisterJobDefinition", {**definition, "jobDefName": "x"}), "a misspelt property is accepted"
found = problems("SubmitJob", {"jobName": "a", "jobQueue": "q", "jobDefinition": "modeldoctor", "arrayProperties": {"size": 8}})
assert not found, found
print("PASSED: the job definition is valid")
PYTHON
