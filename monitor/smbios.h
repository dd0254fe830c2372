/* The SMBIOS tables that firmware publishes for us. System Management BIOS reference specification 2.8 (DMTF DSP0134). */
#ifndef RINGER_SMBIOS_H
#define RINGER_SMBIOS_H

struct vm;

/* Hands them to firmware, as files of vm->fw_cfg: etc/smbios/smbios-anchor and etc/smbios/smbios-tables. Start-up. */
void smbios_publish(struct vm *vm);

#endif
