"""Configuration and project data assembled into what answers: parts by name, systems by arm, calibrations."""
