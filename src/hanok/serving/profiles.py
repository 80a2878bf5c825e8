"""How to talk to the models that come with Hanok."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A model's manners: its chat template (Jinja, as llama.cpp takes it), what ends an answer, how to sample,
    and how long an answer may get where the caller sets no limit."""

    chat_template: str
    stop: tuple[str, ...]
    temperature: float
    repeat_penalty: float
    max_tokens: int


# A base model: it continues texts. Of fourteen layouts tried on 44 short questions, a plain page of questions and
# answers with nothing before it did best (32 right; the others 20 to 30); a repeat penalty makes it stop more often.
GEMMA3_270M = Profile(
    chat_template="""\
{{- bos_token -}}
{%- set at = namespace(text='', asked=false) -%}
{%- for message in messages -%}
  {%- set at.text = '' -%}
  {%- if message.content is string -%}{%- set at.text = message.content | trim -%}
  {%- elif message.content -%}
    {%- for part in message.content if part.text -%}
      {%- set at.text = (at.text + ' ' + part.text) | trim -%}
    {%- endfor -%}
  {%- endif -%}
  {%- if message.role == 'assistant' -%}
    {{- ('' if at.asked else 'Answer:') + ' ' + at.text + '\n\n' -}}{%- set at.asked = false -%}
  {%- elif message.role in ('system', 'developer') -%}
    {%- if at.text -%}{{- ('\n\n' if at.asked else '') + at.text + '\n\n' -}}{%- set at.asked = false -%}{%- endif -%}
  {%- else -%}
    {{- ('\n\n' if at.asked else '') + ('Result: ' if message.role == 'tool' else 'Question: ') -}}
    {{- at.text + '\nAnswer:' -}}{%- set at.asked = true -%}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and not at.asked -%}{{- 'Answer:' -}}{%- endif -%}""",
    stop=("\n\n", "\nQuestion:", "\nAnswer:"),
    temperature=0.2,
    repeat_penalty=1.1,
    max_tokens=256,
)
