"""Whether the data files of a version are still there."""

from deltalake import DeltaTable

from larder.offline.tables.integrity import check_files, local_folder, missing_file


def check_whole(table: DeltaTable) -> None:
    """Raise MissingTableError when a file of the opened version is gone, InvalidDataError when one is damaged.

    Lists the table's folder when that is on an object store; damage is found on a file system of this machine only.
    """
    check_files(table)
    if local_folder(table) is None and (lost := table.repair(dry_run=True)["files_removed"]):
        raise missing_file(table, lost[0])
