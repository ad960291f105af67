#!/bin/sh
# Validates the manifests against the schemas of the Kubernetes API, strictly: a property
# that the API does not have is an error. The schemas come with the package
# kubernetes-validate, which is installed into a folder of its own.
set -eu
cd "$(dirname "$0")"
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
python3 -m venv "$venv"
"$venv/bin/pip" install --quiet kubernetes-validate
for manifest in *.yaml; do
  for version in 1.28.0 1.37.0; do
    "$venv/bin/kubernetes-validate" --strict -k "$version" "$manifest"
  done
done
# It must be able to fail.
sed 's/completionMode: Indexed/completionMod: Indexed/' shares.yaml >"$venv/wrong.yaml"
if "$venv/bin/kubernetes-validate" --strict --quiet -k 1.37.0 "$venv/wrong.yaml" >/dev/null 2>&1; then
  echo "a manifest with a misspelt property is accepted" >&2
  exit 1
fi
echo "PASSED: all manifests are valid"
