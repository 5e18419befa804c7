"""What is looked for in a user's own folders and tables of sounds."""

from __future__ import annotations

from lora_ensemble.audio.decoding import SUFFIXES
from lora_ensemble.sources.class_folders import Kind

NOT_READ = (".m4a", ".aac", ".mp4", ".wma", ".amr", ".webm", ".ape", ".wv")
"""Endings of audio in formats that cannot be decoded here."""

KIND = Kind("recordings", SUFFIXES, NOT_READ)
USUAL = ("audio", "sound", "recording", "clip", "audio_path", "audio_file", "wav")
