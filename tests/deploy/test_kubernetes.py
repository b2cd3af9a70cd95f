"""The manifests: rendered by every kubectl that is here, valid in the API's own schemas, and right for the program.

Debian's kubectl (1.20, kustomize 2.0) is unpacked by `make`, whatever else the machine has; one on the PATH renders as
well and must come to the same objects. The schemas are the oldest and the newest that the validator has.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.files import DEPLOY, ROOT
from watcher.config import MIN_TOKEN, Config, load
from watcher.listener import address
from watcher.secret import Secret

KUBERNETES = DEPLOY / "kubernetes"
KUSTOMIZATIONS = ["base", *sorted(f"overlays/{path.name}" for path in (KUBERNETES / "overlays").iterdir())]
OF_OPERATOR = {"ServiceMonitor"}  # a custom resource: no schema of the API's
VERSIONS = ("1.25", "1.37")
HASHED = re.compile(r"^(watcher-(?:config|credentials|world))-[a-z0-9]{10}$")
DEBIANS = ROOT / ".venv/debian/usr/bin/kubectl"
STATE = "/var/lib/watcher"
CREDENTIALS = "/run/credentials"
PACKS = "/opt/watcher/share/watcher/rules"

Object = dict[str, Any]


def kubectls() -> list[str]:
    """Debian's, and the machine's where it has one."""
    if not DEBIANS.is_file():
        raise AssertionError("Debian's kubectl is not there. Run: .ci/unpacked .venv/debian kubernetes-client")
    other = shutil.which("kubectl")
    return [str(DEBIANS), *([other] if other else [])]


@cache
def rendered(kubectl: str, kustomization: str) -> tuple[Object, ...]:
    line = [kubectl, "kustomize", str(KUBERNETES / kustomization)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def objects(kustomization: str, kind: str) -> list[Object]:
    return [found for found in rendered(kubectls()[0], kustomization) if found["kind"] == kind]


def one(kustomization: str, kind: str) -> Object:
    (found,) = objects(kustomization, kind)
    return found


def pod(kustomization: str) -> Object:
    spec: Object = one(kustomization, "StatefulSet")["spec"]["template"]["spec"]
    return spec


def container(kustomization: str) -> Object:
    (found,) = (c for c in pod(kustomization)["containers"] if c["name"] == "watcher")
    assert isinstance(found, dict)
    return found


def files(kustomization: str) -> dict[str, str]:
    """What the daemon finds in /etc/watcher."""
    volume = next(v for v in pod(kustomization)["volumes"] if v["name"] == "config")
    named = (c for c in objects(kustomization, "ConfigMap") if c["metadata"]["name"] == volume["configMap"]["name"])
    data: dict[str, str] = next(named)["data"]
    return data


def config(kustomization: str, folder: Path) -> Config:
    """Its configuration, as `watcher check` reads it; the image's rule packs are the checkout's."""
    for name, text in files(kustomization).items():
        (folder / name).write_text(text.replace(PACKS, str(ROOT / "rules")))
    return load(folder / "config.yaml")


# ── rendering and schemas ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_every_kubectl_renders_the_same(kustomization: str) -> None:
    """But for order, empty fields and the hashes in names, which differ between kustomize's ages."""
    first, *others = ([_bare(o) for o in rendered(kubectl, kustomization)] for kubectl in kubectls())
    assert first
    for other in others:
        assert sorted(first, key=_name) == sorted(other, key=_name)


def _bare(value: Any) -> Any:
    """Without empty fields and a status, which kustomize 2.0 adds and the API server ignores, and without hashes."""
    match value:
        case dict():
            whole = {key: _bare(inner) for key, inner in value.items() if key != "status"}
            return {key: inner for key, inner in whole.items() if inner not in (None, {})}
        case list():
            return [_bare(inner) for inner in value]
        case str():
            return HASHED.sub(r"\1", value)
    return value


def _name(found: Object) -> tuple[str, str]:
    return str(found["kind"]), str(found["metadata"]["name"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_the_api_would_take_it(kustomization: str, version: str) -> None:
    """Strictly: a field that the API does not know is a mistake of ours."""
    seen = 0
    for kubectl in kubectls():
        for found in rendered(kubectl, kustomization):
            if found["kind"] not in OF_OPERATOR:
                kubernetes_validate.validate(_bare(found), version, strict=True)
                seen += 1
    assert seen >= 4 * len(kubectls())


def test_a_field_that_does_not_exist_would_be_noticed() -> None:
    """The validation above means something."""
    broken = _bare(one("base", "StatefulSet"))
    broken["spec"]["template"]["spec"]["terminationGracePeriod"] = 20
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


# ── right for the program ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_the_configuration_is_one(kustomization: str, tmp_path: Path) -> None:
    """It loads; secrets are files of the mounted Secret, the state is on the volume, the port is the listener's."""
    loaded = config(kustomization, tmp_path)
    named = [value for account in loaded.accounts for _, value in account.settings if isinstance(value, Secret)]
    named += [url for url in loaded.alerts.targets.values() if isinstance(url, Secret)]
    assert loaded.http.token is not None
    named.append(loaded.http.token)
    assert len(named) == 4
    assert {secret.kind for secret in named} == {"file"}
    assert {secret.name.rpartition("/")[0] for secret in named} == {CREDENTIALS}
    assert loaded.state.startswith(f"sqlite:///{STATE}/")
    assert loaded.http.metrics_listen is not None
    listening = {"http": address(loaded.http.listen), "metrics": address(loaded.http.metrics_listen)}
    ports = {port["name"]: port["containerPort"] for port in container(kustomization)["ports"]}
    assert listening == {name: ("0.0.0.0", port) for name, port in ports.items()}
    mounts = {mount["name"]: mount["mountPath"] for mount in container(kustomization)["volumeMounts"]}
    assert mounts == {"config": "/etc/watcher", "credentials": CREDENTIALS, "state": STATE, "tmp": "/tmp"}
    (claim,) = one(kustomization, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "state"


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_it_runs_with_nothing_it_does_not_need(kustomization: str) -> None:
    """One replica, never root, read-only root, no privilege, no token, bounded memory, time to drain."""
    assert one(kustomization, "StatefulSet")["spec"]["replicas"] == 1
    spec = pod(kustomization)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["terminationGracePeriodSeconds"] > 10
    for found in spec["containers"]:
        assert found["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert found["resources"]["limits"]["memory"]
        assert not found["image"].endswith(":latest")
    secret = next(v["secret"] for v in spec["volumes"] if v["name"] == "credentials")
    assert secret["defaultMode"] == 0o440


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_probes_tell_alive_from_ready(kustomization: str) -> None:
    """Only a process that does not answer is restarted; readiness gives the disk its five seconds."""
    daemon = container(kustomization)
    probes = {p: daemon[f"{p}Probe"]["httpGet"] for p in ("startup", "liveness", "readiness")}
    assert {get["port"] for get in probes.values()} == {"metrics"}, "open there, while the page needs a token"
    paths = {p: get["path"] for p, get in probes.items()}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert daemon["readinessProbe"]["timeoutSeconds"] > 5


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_the_network_is_closed_but_for_what_is_meant(kustomization: str) -> None:
    """Both directions are restricted, for the daemon's own pods; the cluster and the metadata service stay out."""
    policy = one(kustomization, "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    labels = one(kustomization, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels == one(kustomization, "Service")["spec"]["selector"]
    blocks = [to["ipBlock"] for rule in policy["egress"] for to in rule["to"] if "ipBlock" in to]
    assert "169.254.0.0/16" in blocks[0]["except"]


def test_only_the_try_out_has_secrets_in_it() -> None:
    """Elsewhere the Secret is made beside the manifests; there it is what the emulator knows."""
    assert [k for k in KUSTOMIZATIONS if objects(k, "Secret")] == ["overlays/tryout"]
    secret = one("overlays/tryout", "Secret")["data"]
    world = next(c["data"] for c in objects("overlays/tryout", "ConfigMap") if "scenario.yaml" in c["data"])
    account = yaml.safe_load(world["scenario.yaml"])["accounts"][0]
    assert base64.b64decode(secret["agora-id"]).decode() == account["customer_id"]
    assert len(base64.b64decode(secret["http-token"])) >= MIN_TOKEN
    assert base64.b64decode(secret["agora-secret"]).decode() == account["customer_secret"]


def test_the_service_monitor_finds_the_service() -> None:
    """By the service's labels and port name; the job is the one that the alerts know."""
    monitor, service = (one("overlays/prometheus-operator", kind) for kind in ("ServiceMonitor", "Service"))
    labels = service["metadata"]["labels"]
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"] == "watcher"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["spec"]["jobLabel"]] == "watcher"
    assert monitor["spec"]["endpoints"][0]["port"] == "metrics"
    assert "metrics" in {port["name"] for port in service["spec"]["ports"]}
