#!/usr/bin/env python3
"""Writes orders to a stream from Python, and reads their totals back: PyFlink's Table API on the connector's jar for SQL.

    python3 -m venv venv && venv/bin/pip install apache-flink==2.3.0
    venv/bin/python totals.py tcp://127.0.0.1:9090 build/flink/2.3/millrace-connector-flink-0.1.0-2.3-sql.jar
"""
import os
import sys

from pyflink.table import EnvironmentSettings, TableEnvironment
from pyflink.table.expressions import col


def main(controller, jar):
    tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    tables.get_config().set("pipeline.jars", "file://" + os.path.abspath(jar))
    tables.execute_sql(f"CREATE CATALOG store WITH ('type' = 'millrace', 'controller' = '{controller}')")
    tables.execute_sql("CREATE DATABASE IF NOT EXISTS store.shop")
    tables.use_catalog("store")
    tables.use_database("shop")
    tables.execute_sql("CREATE TABLE IF NOT EXISTS orders (item STRING, pieces BIGINT) WITH ('format' = 'json',"
                       " 'scan.bounded.mode' = 'tail', 'sink.delivery-guarantee' = 'exactly-once', 'sink.routing-key.fields' = 'item')")

    rows = tables.from_elements([("bread", 2), ("flour", 5), ("bread", 1)], ["item", "pieces"])
    rows.execute_insert("orders").wait()

    totals = tables.from_path("orders").group_by(col("item")).select(col("item"), col("pieces").sum.alias("pieces")).order_by(col("item"))
    with totals.execute().collect() as found:
        for row in found:
            print(row[0], row[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
