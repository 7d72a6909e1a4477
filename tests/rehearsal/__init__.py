"""Production on one machine: every engine secured and as several processes, under load, with parts killed."""
