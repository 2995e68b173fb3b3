"""Tieout keeps the Finance and the Dataverse side of Project Operations reconciled, continuously."""
