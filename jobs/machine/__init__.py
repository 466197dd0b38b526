"""What this machine has: Java, jars, the archive of classes, a Spark session, the doctor."""
