"""Figures: charts as data, and pictures that no chart can be."""
