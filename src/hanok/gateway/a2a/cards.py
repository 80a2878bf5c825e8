"""An agent's card: what others are told of it before they ask. Nothing that it is told, has or uses stands on it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from a2a.server.request_handlers.response_helpers import agent_card_to_dict
from a2a.types import a2a_pb2 as pb
from a2a.utils.constants import TransportProtocol

from hanok.spec import Agent

BEARER = "bearer"
_MODES = ("text/plain", "application/json")


def card_of(agent: Agent, *, url: str) -> dict[str, Any]:
    """The card as JSON, for clients of 1.0 and of 0.3 at once. `url` is where the agent answers."""
    return agent_card_to_dict(_card(agent, url))


def version_of(agent: Agent) -> str:
    """Changes when what is declared of the agent does."""
    return hashlib.sha256(agent.model_dump_json().encode()).hexdigest()[:12]


def _card(agent: Agent, url: str) -> pb.AgentCard:
    described = agent.description or f"The agent {agent.name}."
    return pb.AgentCard(
        name=agent.name,
        description=described,
        version=version_of(agent),
        supported_interfaces=[
            _interface(url, TransportProtocol.JSONRPC, "1.0"),
            _interface(url, TransportProtocol.HTTP_JSON, "1.0"),
            _interface(url, TransportProtocol.JSONRPC, "0.3"),
            _interface(url, TransportProtocol.HTTP_JSON, "0.3"),
        ],
        capabilities=pb.AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=False),
        default_input_modes=[*_MODES, "image/*"],
        default_output_modes=_MODES,
        skills=[pb.AgentSkill(id=agent.name, name=agent.name, description=described, tags=[agent.pattern])],
        security_schemes=_schemes(),
        security_requirements=[pb.SecurityRequirement(schemes={BEARER: pb.StringList()})],
    )


def _interface(url: str, binding: TransportProtocol, version: str) -> pb.AgentInterface:
    return pb.AgentInterface(url=url, protocol_binding=binding.value, protocol_version=version)


def _schemes() -> Mapping[str, pb.SecurityScheme]:
    described = "A key of Hanok's, made with `hanok keys create`."
    scheme = pb.HTTPAuthSecurityScheme(scheme="Bearer", description=described)
    return {BEARER: pb.SecurityScheme(http_auth_security_scheme=scheme)}
