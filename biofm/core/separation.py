"""How far apart along a chain two residues are to lie before their contact says anything."""

MIN_SEPARATION = 6
"""Nearer ones touch anyway, so that neither precision nor, by default, tables and pictures count them."""
