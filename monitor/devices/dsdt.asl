/*
 * The devices of the virtual PC, as ACPI tells of them. It must agree with monitor/machine.c (ports and interrupts),
 * monitor/devices/acpi_pm.h (\_S5) and monitor/acpi.c (CONF).
 */
DefinitionBlock ("", "DSDT", 1, "RINGER", "RINGERPC", 0x00000001)
{
    /* Soft off: SLP_TYP 0. */
    Name (\_S5, Package (0x04) { 0x00, 0x00, 0x00, 0x00 })

    /* The last 16 bytes of the ACPI area: which serial ports there are. */
    OperationRegion (CONF, SystemMemory, 0x000E3FF0, 0x10)
    Field (CONF, ByteAcc, NoLock, Preserve)
    {
        HCM1, 1,
        HCM2, 1,
        HCM3, 1,
        HCM4, 1,
    }

    Scope (\_SB)
    {
        /* Ports that belong to the board and to no other device here. */
        Device (MBRD)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 0x01)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0080, 0x0080, 0x01, 0x01)
                IO (Decode16, 0x0092, 0x0092, 0x01, 0x01)
                IO (Decode16, 0x00B2, 0x00B2, 0x01, 0x02)
                IO (Decode16, 0x0600, 0x0600, 0x01, 0x0C)
            })
        }

        Device (PIC)
        {
            Name (_HID, EisaId ("PNP0000"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0020, 0x0020, 0x01, 0x02)
                IO (Decode16, 0x00A0, 0x00A0, 0x01, 0x02)
                IO (Decode16, 0x04D0, 0x04D0, 0x01, 0x02)
                IRQNoFlags () {2}
            })
        }

        Device (DMAC)
        {
            Name (_HID, EisaId ("PNP0200"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0000, 0x0000, 0x01, 0x10)
                IO (Decode16, 0x0081, 0x0081, 0x01, 0x0F)
                IO (Decode16, 0x00C0, 0x00C0, 0x01, 0x20)
                DMA (Compatibility, NotBusMaster, Transfer8) {4}
            })
        }

        Device (TMR)
        {
            Name (_HID, EisaId ("PNP0100"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0040, 0x0040, 0x01, 0x04)
                IRQNoFlags () {0}
            })
        }

        Device (SPKR)
        {
            Name (_HID, EisaId ("PNP0800"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0061, 0x0061, 0x01, 0x01)
            })
        }

        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
                IRQNoFlags () {8}
            })
        }

        Device (KBD)
        {
            Name (_HID, EisaId ("PNP0303"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                IRQNoFlags () {1}
            })
        }

        Device (MOU)
        {
            Name (_HID, EisaId ("PNP0F13"))
            Name (_CRS, ResourceTemplate ()
            {
                IRQNoFlags () {12}
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 0x01)
            Method (_STA, 0, NotSerialized)
            {
                If (HCM1) { Return (0x0F) }
                Return (Zero)
            }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
                IRQNoFlags () {4}
            })
        }

        Device (COM2)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 0x02)
            Method (_STA, 0, NotSerialized)
            {
                If (HCM2) { Return (0x0F) }
                Return (Zero)
            }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02F8, 0x02F8, 0x01, 0x08)
                IRQNoFlags () {3}
            })
        }

        Device (COM3)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 0x03)
            Method (_STA, 0, NotSerialized)
            {
                If (HCM3) { Return (0x0F) }
                Return (Zero)
            }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03E8, 0x03E8, 0x01, 0x08)
                IRQNoFlags () {4}
            })
        }

        Device (COM4)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 0x04)
            Method (_STA, 0, NotSerialized)
            {
                If (HCM4) { Return (0x0F) }
                Return (Zero)
            }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02E8, 0x02E8, 0x01, 0x08)
                IRQNoFlags () {3}
            })
        }
    }
}
